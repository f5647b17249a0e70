// A guest of 512 bytes for tests of moves: it changes 48 MiB of its memory as fast as it can, page by page, and looks
// each time whether what it wrote before is still there. It says "." when it has been through all, "X" and nothing more
// when a page was not as it left it.
#pragma once

#include <string>

#include "qemu/test_guest.h"

namespace gantry::qemu {

inline std::string busy_guest_disk() {
  // 8086 code at 0000:7c00, with 32-bit addresses through a data segment that has no limit ("unreal mode").
  return boot_disk({
      0x31, 0xc0,                                      // 00 xor ax, ax
      0x8e, 0xd8,                                      // 02 mov ds, ax
      0xfa,                                            // 04 cli
      0x66, 0x0f, 0x01, 0x16, 0x62, 0x7c,              // 05 lgdt [7c62]
      0x0f, 0x20, 0xc0,                                // 0b mov eax, cr0
      0x0c, 0x01,                                      // 0e or al, 1
      0x0f, 0x22, 0xc0,                                // 10 mov cr0, eax
      0xeb, 0x00,                                      // 13 jmp 15
      0xbb, 0x08, 0x00,                                // 15 mov bx, 8
      0x8e, 0xdb,                                      // 18 mov ds, bx
      0x24, 0xfe,                                      // 1a and al, 0xfe
      0x0f, 0x22, 0xc0,                                // 1c mov cr0, eax
      0x31, 0xdb,                                      // 1f xor bx, bx
      0x8e, 0xdb,                                      // 21 mov ds, bx
      0x66, 0x31, 0xed,                                // 23 xor ebp, ebp (what each page has)
                                                       // pass:
      0x66, 0xbf, 0x00, 0x00, 0x20, 0x00,              // 26 mov edi, 2 MiB
                                                       // page:
      0x66, 0x85, 0xed,                                // 2c test ebp, ebp
      0x74, 0x06,                                      // 2f jz write (37; there may be anything the first time)
      0x67, 0x66, 0x39, 0x2f,                          // 31 cmp [edi], ebp
      0x75, 0x23,                                      // 35 jne bad (5a)
                                                       // write:
      0x67, 0x66, 0x8d, 0x45, 0x01,                    // 37 lea eax, [ebp+1]
      0x67, 0x66, 0x89, 0x07,                          // 3c mov [edi], eax
      0x66, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00,        // 40 add edi, 4096
      0x66, 0x81, 0xff, 0x00, 0x00, 0x20, 0x03,        // 47 cmp edi, 50 MiB
      0x72, 0xdc,                                      // 4e jb page (2c)
      0x66, 0x45,                                      // 50 inc ebp
      0xba, 0xf8, 0x03,                                // 52 mov dx, 0x3f8
      0xb0, 0x2e,                                      // 55 mov al, '.'
      0xee,                                            // 57 out dx, al
      0xeb, 0xcc,                                      // 58 jmp pass (26)
                                                       // bad:
      0xba, 0xf8, 0x03,                                // 5a mov dx, 0x3f8
      0xb0, 0x58,                                      // 5d mov al, 'X'
      0xee,                                            // 5f out dx, al
      0xeb, 0xfe,                                      // 60 jmp $
      0x0f, 0x00, 0x68, 0x7c, 0x00, 0x00,              // 62 the table's last byte, and where it is
      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // 68 no segment
      0xff, 0xff, 0x00, 0x00, 0x00, 0x92, 0xcf, 0x00,  // 70 data, from 0, 4 GiB
  });
}

}  // namespace gantry::qemu
