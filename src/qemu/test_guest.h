// A guest of 512 bytes for tests: a boot sector that speaks over the first serial port.
//   at each boot it says "B"
//   it echoes what is typed but "q", which powers it off by ACPI, and "w", which makes it write 512 bytes at 8192 on
//   its disk and then say "W" the power button makes it say "P" and power off
#pragma once

#include <string>
#include <vector>

namespace gantry::qemu {

// A whole raw disk that boots that code.
inline std::string boot_disk(const std::vector<unsigned char>& code) {
  std::string disk(1U << 20U, '\0');
  for (std::size_t i = 0; i < code.size(); ++i) disk[i] = static_cast<char>(code[i]);
  disk[510] = '\x55';
  disk[511] = static_cast<char>(0xaa);
  return disk;
}

inline std::string test_guest_disk() {
  // 8086 code at 0000:7c00; jumps are given as distances from the end of the instruction.
  return boot_disk({
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
      0x75, 0x17,        // 1a jnz button (33)
      0xba, 0xfd, 0x03,  // 1c mov dx, 0x3fd
      0xec,              // 1f in al, dx
      0xa8, 0x01,        // 20 test al, 1
      0x74, 0xee,        // 22 jz again (12)
      0xba, 0xf8, 0x03,  // 24 mov dx, 0x3f8
      0xec,              // 27 in al, dx
      0x3c, 0x71,        // 28 cmp al, 'q'
      0x74, 0x0d,        // 2a je off (39)
      0x3c, 0x77,        // 2c cmp al, 'w'
      0x74, 0x12,        // 2e je write (42)
      0xee,              // 30 out dx, al
      0xeb, 0xdf,        // 31 jmp again (12)
                         // button:
      0xba, 0xf8, 0x03,  // 33 mov dx, 0x3f8
      0xb0, 0x50,        // 36 mov al, 'P'
      0xee,              // 38 out dx, al
                         // off:
      0xba, 0x04, 0x06,  // 39 mov dx, 0x604 (PM1 control)
      0xb8, 0x00, 0x20,  // 3c mov ax, 0x2000 (SLP_EN, soft off)
      0xef,              // 3f out dx, ax
      0xeb, 0xfe,        // 40 jmp $
                         // write:
      0xb8, 0x01, 0x03,  // 42 mov ax, 0x301 (write one sector)
      0xb9, 0x11, 0x00,  // 45 mov cx, 0x11 (the 17th of the first track)
      0xba, 0x80, 0x00,  // 48 mov dx, 0x80 (of the first disk)
      0x31, 0xdb,        // 4b xor bx, bx
      0x8e, 0xc3,        // 4d mov es, bx
      0xcd, 0x13,        // 4f int 0x13
      0xba, 0xf8, 0x03,  // 51 mov dx, 0x3f8
      0xb0, 0x57,        // 54 mov al, 'W'
      0xee,              // 56 out dx, al
      0xeb, 0xb9,        // 57 jmp again (12)
  });
}

}  // namespace gantry::qemu
