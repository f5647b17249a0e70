// Prints what the accelerator probe of src/qemu chooses on this machine, and why.
#include <iostream>

#include "qemu/accelerator.h"

int main() {
  const gantry::qemu::AcceleratorChoice choice = gantry::qemu::probe_accelerator();
  std::cout << "accelerator " << choice.accelerator << ": " << choice.reason << std::endl;
}
