// The executable's own program interpreter: the first code that runs, in place of the one that PT_INTERP would name.
//
// The kernel refuses an executable whose PT_INTERP is absent, so an executable that names glibc's dynamic loader
// cannot start at all on a node without glibc. This one names none. The code here does what the kernel would have
// done: it maps the node's dynamic loader and jumps to it. Where the node has no glibc, an older one, or lacks
// libstdc++, it maps the loader that lies in the executable itself and hands it the libraries that lie there too, as
// files in memory (memfd_create) named by LD_PRELOAD. Many nodes lack only libatomic, which comes with compilers: they
// get that one. Nothing is written to the node's file system.
//
// No libc, no relocations, no writable memory but the stack. Compiled by hand to loader-code.ts (its header says how):
// a build of Podlink needs no C compiler. The layout of `configuration` is written by executable.ts.
//
// Sources: fs/binfmt_elf.c (what the kernel hands to an interpreter), glibc's elf/rtld.c, include/uapi/linux/auxvec.h.

#include <asm/unistd.h>
#include <elf.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

#if defined(__x86_64__)
#define HOST_LOADER "/lib64/ld-linux-x86-64.so.2"
#define MULTIARCH "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define HOST_LOADER "/lib/ld-linux-aarch64.so.1"
#define MULTIARCH "aarch64-linux-gnu"
#endif

// Written by executable.ts behind the code; all fields u64, host order.
struct library {
  uint64_t offset, size;
};
struct configuration {
  uint64_t entry;               // of the program itself
  uint64_t headers;             // address of its program headers, with PT_INTERP
  uint64_t headerCount;
  struct library loader;        // the dynamic loader in this file
  uint64_t libraryCount;        // the first is libatomic
  struct library libraries[];
};
extern const struct configuration configuration __attribute__((visibility("hidden")));

#if defined(__x86_64__)
static long call(long n, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return result;
}
// Both are entered with the stack as the kernel laid it out. rdx at the second one is the dynamic loader's finaliser.
__asm__(".section .text.start,\"ax\"\n"
        ".globl start\nstart:\n"
        "  mov %rsp, %rdi\n  mov %rsp, %rbx\n  and $-16, %rsp\n  sub $16384, %rsp\n  mov %rsp, %rsi\n"
        "  call load\n  mov %rax, %rsp\n  xor %edx, %edx\n  xor %ebp, %ebp\n  ret\n"
        ".globl loaded\nloaded:\n"
        "  mov %rsp, %rdi\n  mov %rdx, %rbp\n  mov %rsp, %rbx\n  and $-16, %rsp\n"
        "  call forget\n  mov %rbx, %rsp\n  mov %rbp, %rdx\n  xor %ebp, %ebp\n  jmp *%rax\n"
        ".text\n");
#elif defined(__aarch64__)
static long call(long n, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
__asm__(".section .text.start,\"ax\"\n"
        ".globl start\nstart:\n"
        "  mov x0, sp\n  sub sp, sp, #16384\n  mov x1, sp\n"
        "  bl load\n  ldr x1, [x0]\n  add sp, x0, #8\n  mov x0, #0\n  mov x30, #0\n  br x1\n"
        ".globl loaded\nloaded:\n"
        "  mov x19, x0\n  mov x0, sp\n  bl forget\n  mov x1, x0\n  mov x0, x19\n  mov x30, #0\n  br x1\n"
        ".text\n");
#endif

extern const char loaded[] __attribute__((visibility("hidden")));

#define OPEN(path) call(__NR_openat, AT_FDCWD, (long)(path), O_RDONLY | O_CLOEXEC, 0, 0, 0)
#define CLOSE(fd) call(__NR_close, fd, 0, 0, 0, 0, 0)
#define IS_THERE(path) (call(__NR_faccessat, AT_FDCWD, (long)(path), 0, 0, 0, 0) == 0)

#define FAIL(text) fail("podlink: " text "\n", sizeof("podlink: " text "\n") - 1)
__attribute__((noreturn)) static void fail(const char *text, long size) {
  call(__NR_write, 2, (long)text, size, 0, 0, 0);
  for (;;) call(__NR_exit_group, 127, 0, 0, 0, 0, 0);
}

struct image {
  uintptr_t base, entry, end, size;
};

// Map the shared object that begins at `offset` of an open file. False when it is none, or there is no memory.
static int map(long fd, uint64_t offset, uintptr_t page, struct image *image) {
  struct {
    Elf64_Ehdr file;
    Elf64_Phdr headers[16];
  } start;
  if (call(__NR_pread64, fd, (long)&start, sizeof start, offset, 0, 0) < (long)sizeof start) return 0;
  const Elf64_Ehdr *file = &start.file;
  if (file->e_type != ET_DYN || file->e_phoff != sizeof *file || file->e_phnum > 16) return 0;

  uintptr_t size = 0;
  for (int i = 0; i < file->e_phnum; i++) {
    const Elf64_Phdr *header = &start.headers[i];
    if (header->p_type == PT_LOAD) size = header->p_vaddr + header->p_memsz;
  }
  size = (size + page - 1) & -page;
  uintptr_t base = call(__NR_mmap, 0, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base > -4096UL) return 0;

  image->end = 0;
  for (int i = 0; i < file->e_phnum; i++) {
    const Elf64_Phdr *header = &start.headers[i];
    if (header->p_type != PT_LOAD) continue;
    long protection = (header->p_flags & PF_R ? PROT_READ : 0) | (header->p_flags & PF_W ? PROT_WRITE : 0) |
                      (header->p_flags & PF_X ? PROT_EXEC : 0);
    uintptr_t before = header->p_vaddr & (page - 1);
    uintptr_t at = base + header->p_vaddr - before;
    uintptr_t fileEnd = base + header->p_vaddr + header->p_filesz, memoryEnd = fileEnd - header->p_filesz + header->p_memsz;
    if (call(__NR_mmap, at, header->p_filesz + before, protection, MAP_PRIVATE | MAP_FIXED, fd,
             offset + header->p_offset - before) != (long)at)
      return 0;
    if (image->end == 0) image->end = fileEnd;
    if (memoryEnd > fileEnd) {
      uintptr_t pageEnd = (fileEnd + page - 1) & -page;
      // To the end of the page: glibc's dynamic loader allocates there and expects zeros, as the kernel leaves them.
      for (volatile char *byte = (char *)fileEnd; (uintptr_t)byte < pageEnd; byte++) *byte = 0;
      if (memoryEnd > pageEnd &&
          call(__NR_mmap, pageEnd, memoryEnd - pageEnd, protection, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0) != (long)pageEnd)
        return 0;
    }
  }
  image->base = base;
  image->entry = base + file->e_entry;
  image->size = size;
  return 1;
}

// Whether a mapped dynamic loader is of glibc 2.34 or newer: those define a version of that name. It lies in the first
// segment. Older ones are not told apart, so from 2.28 to 2.33 the executable's own libraries are used without need.
static int isNewEnough(const struct image *image) {
  static const char wanted[] = "GLIBC_2.34";
  for (const char *at = (const char *)image->base; at + sizeof wanted <= (const char *)image->end; at++) {
    unsigned i = 0;
    while (i < sizeof wanted && at[i] == wanted[i]) i++;
    if (i == sizeof wanted) return 1;
  }
  return 0;
}

#define HAS(library)                                                                                   \
  (IS_THERE("/lib/" MULTIARCH "/" library) || IS_THERE("/lib64/" library) ||                            \
   IS_THERE("/usr/lib/" MULTIARCH "/" library) || IS_THERE("/usr/lib64/" library))

// Map the node's own dynamic loader if it and the node's libraries will do.
static int mapHosts(uintptr_t page, struct image *image) {
  long fd = OPEN(HOST_LOADER);
  if (fd < 0) return 0;
  int usable = HAS("libstdc++.so.6") && map(fd, 0, page, image);
  CLOSE(fd);
  if (usable && !isNewEnough(image)) {
    call(__NR_munmap, image->base, image->size, 0, 0, 0, 0);
    usable = 0;
  }
  return usable;
}

static char *append(char *at, const char *text) {
  while (*text) *at++ = *text++;
  return at;
}

static char *appendNumber(char *at, unsigned long number) {
  char digits[20];
  int count = 0;
  do digits[count++] = '0' + number % 10;
  while (number /= 10);
  while (count > 0) *at++ = digits[--count];
  return at;
}

#define VARIABLE "LD_PRELOAD="
#define DESCRIPTORS "/proc/self/fd/"

// Copy the first so many libraries of this file into memory, and write the variable that names them.
static void copyLibraries(long self, uint64_t count, char *variable) {
  variable = append(variable, VARIABLE);
  for (uint64_t i = 0; i < count; i++) {
    // Where the sysctl vm.memfd_noexec is 2 only files that may not be executed are allowed; mapping them is. Before
    // Linux 6.3 the flag is not known.
    long fd = call(__NR_memfd_create, (long)"podlink", MFD_CLOEXEC | MFD_NOEXEC_SEAL, 0, 0, 0, 0);
    if (fd < 0) fd = call(__NR_memfd_create, (long)"podlink", MFD_CLOEXEC, 0, 0, 0, 0);
    if (fd < 0) FAIL("cannot make a file in memory for its libraries");
    long offset = configuration.libraries[i].offset, left = configuration.libraries[i].size;
    while (left > 0) {
      long sent = call(__NR_sendfile, fd, self, (long)&offset, left, 0, 0);
      if (sent <= 0) FAIL("cannot copy its libraries into memory");
      left -= sent;
    }
    if (i > 0) *variable++ = ':';
    variable = appendNumber(append(variable, DESCRIPTORS), fd);
  }
  *variable = 0;
}

// Shift the kernel's stack down and add `text`, one more variable, as the last; the characters go behind the auxiliary
// vector. What lies above that (the variables' and arguments' characters) stays where it is.
#define ADDED_WORDS 64
static uintptr_t *addVariable(uintptr_t *stack, const uintptr_t *auxiliary, const uintptr_t *end, const char *text) {
  uintptr_t *to = stack - ADDED_WORDS, *added = to;
  char *characters = (char *)(end - ADDED_WORDS + 1);
  for (const uintptr_t *from = stack; from < end; from++) {
    if (from == auxiliary - 1) *to++ = (uintptr_t)characters;
    *to++ = *from;
  }
  *append(characters, text) = 0;
  return added;
}

// Returns a stack whose first word is the address to go on at, followed by what the dynamic loader expects. `room` are
// 16 KiB below the kernel's stack, of which the upper ones become part of it.
__attribute__((used)) uintptr_t *load(uintptr_t *stack, char *room) {
  uintptr_t *end = stack + 1 + stack[0] + 1;
  while (*end) end++;
  uintptr_t *auxiliary = ++end, page = 4096;
  for (; end[0] != AT_NULL; end += 2) {
    if (end[0] == AT_PAGESZ) page = end[1];
  }
  end += 2;

  struct image image;
  uint64_t copied = 0;
  int own = !mapHosts(page, &image);
  if (own || !HAS("libatomic.so.1")) {
    long self = OPEN("/proc/self/exe");
    if (self < 0) FAIL("cannot open /proc/self/exe, which a system without glibc 2.34, libstdc++ and libatomic needs");
    if (own && !map(self, configuration.loader.offset, page, &image)) FAIL("cannot map its dynamic loader");
    copied = own ? configuration.libraryCount : 1;
    copyLibraries(self, copied, room);
    CLOSE(self);
  }
  for (uintptr_t *entry = auxiliary; entry[0] != AT_NULL; entry += 2) {
    if (entry[0] == AT_PHDR) entry[1] = configuration.headers;
    if (entry[0] == AT_PHNUM) entry[1] = configuration.headerCount;
    if (entry[0] == AT_BASE) entry[1] = image.base;
    if (entry[0] == AT_ENTRY) entry[1] = copied ? (uintptr_t)loaded : configuration.entry;
  }
  if (copied) stack = addVariable(stack, auxiliary, end, room);
  stack[-1] = image.entry;
  return stack - 1;
}

// The dynamic loader is done: take the variable away again, so that nothing that is started from here inherits it, and
// close the files. Returns the address of the program's own beginning.
__attribute__((used)) uintptr_t forget(uintptr_t *stack) {
  uintptr_t *variable = stack + 1 + stack[0] + 1;
  while (variable[1]) variable++;
  const char *at = (const char *)*variable + sizeof VARIABLE - 1;
  *variable = 0;
  while (*at) {
    at += sizeof DESCRIPTORS - 1;
    long fd = 0;
    while (*at >= '0' && *at <= '9') fd = fd * 10 + *at++ - '0';
    CLOSE(fd);
    if (*at == ':') at++;
  }
  return configuration.entry;
}
