// A guest of 512 bytes for tests: a boot sector that speaks over the first serial port.
//   at each boot it says "B"
//   it echoes what is typed but "q", which powers it off by ACPI
//   the power button makes it say "P" and power off
#pragma once

#include <string>
#include <vector>

namespace gantry::qemu {

// A whole raw disk.
inline std::string test_guest_disk() {
  // 8086 code at 0000:7c00; jumps are given as distances from the end of the instruction.
  const std::vector<unsigned char> code = {
      0x31, 0xc0,        // 00 xor ax, ax
      0x8e, 0xd8,        // 02 mov ds, ax
      0xba, 0x02, 0x06,  // 04 mov dx, 0x602 (PM1 enable of q35's ACPI)
      0xb8, 0x00, 0x01,  // 07 mov ax, 0x100 (power button)
      0xef,              // 0a out dx, ax
      0xba, 0xf8, 0x03,  // 0b mov dx, 0x3f8
      0xb0, 0x42,        // 0e mov al, 'B'
      0xee,              // 10 out dx, al
      0xfb,              // 11 sti
                         // again:
      0xf4,              // 12 hlt (the timer wakes it 18 times a second)
      0xba, 0x00, 0x06,  // 13 mov dx, 0x600 (PM1 status)
      0xed,              // 16 in ax, dx
      0xf6, 0xc4, 0x01,  // 17 test ah, 1 (power button)
      0x75, 0x13,        // 1a jnz button (2f)
      0xba, 0xfd, 0x03,  // 1c mov dx, 0x3fd
      0xec,              // 1f in al, dx
      0xa8, 0x01,        // 20 test al, 1
      0x74, 0xee,        // 22 jz again (12)
      0xba, 0xf8, 0x03,  // 24 mov dx, 0x3f8
      0xec,              // 27 in al, dx
      0x3c, 0x71,        // 28 cmp al, 'q'
      0x74, 0x09,        // 2a je off (35)
      0xee,              // 2c out dx, al
      0xeb, 0xe3,        // 2d jmp again (12)
                         // button:
      0xba, 0xf8, 0x03,  // 2f mov dx, 0x3f8
      0xb0, 0x50,        // 32 mov al, 'P'
      0xee,              // 34 out dx, al
                         // off:
      0xba, 0x04, 0x06,  // 35 mov dx, 0x604 (PM1 control)
      0xb8, 0x00, 0x20,  // 38 mov ax, 0x2000 (SLP_EN, soft off)
      0xef,              // 3b out dx, ax
      0xeb, 0xfe,        // 3c jmp $
  };
  std::string disk(1U << 20U, '\0');
  for (std::size_t i = 0; i < code.size(); ++i) disk[i] = static_cast<char>(code[i]);
  disk[510] = '\x55';
  disk[511] = static_cast<char>(0xaa);
  return disk;
}

}  // namespace gantry::qemu
