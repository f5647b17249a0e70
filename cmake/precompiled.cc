// Something to compile the header for.
