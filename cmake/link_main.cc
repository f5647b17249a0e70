// The link test of a room: see cmake/GantryRooms.cmake.
int main() { return 0; }
