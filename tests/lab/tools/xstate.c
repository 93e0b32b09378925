/* xstate.so - lets user-mode Linux run on processors with a large register state.
 *
 * User-mode Linux keeps its processes' floating point state in a buffer of a
 * fixed size (2696 bytes: up to AVX-512 and protection keys).  On a processor
 * with AMX the host's kernel has more, and refuses to set less than all of it
 * (EFAULT): the machine dies as it starts its first process.  Preloaded into
 * linux.uml, this fills the rest: "those registers are in their initial state".
 */
#define _GNU_SOURCE
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif
#define LARGEST 32768           /* of any processor's state, with room to spare */
#define FEATURES_AT 512         /* the header: which components the buffer holds */
#define FEATURES_KEPT 0x2ffULL  /* x87 ... AVX-512, protection keys: what fits */

long ptrace(enum __ptrace_request request, ...)
{
    static unsigned char all[LARGEST];  /* user-mode Linux has one thread that traces */
    static size_t size;
    va_list arguments; long peeked, result;
    va_start(arguments, request);
    long pid = va_arg(arguments, long); void *address = va_arg(arguments, void *), *data = va_arg(arguments, void *);
    va_end(arguments);
    int peek = request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER;

    if (request == PTRACE_SETREGSET && (uintptr_t)address == NT_X86_XSTATE) {
        struct iovec *given = data, whole = { all, sizeof all }; uint64_t features;
        if (!size && syscall(SYS_ptrace, PTRACE_GETREGSET, pid, address, &whole) == 0) size = whole.iov_len;
        if (size > given->iov_len && given->iov_len >= FEATURES_AT + 64) {
            memset(all, 0, size);
            memcpy(all, given->iov_base, given->iov_len);
            memcpy(&features, all + FEATURES_AT, sizeof features);
            features &= FEATURES_KEPT;
            memcpy(all + FEATURES_AT, &features, sizeof features);
            whole = (struct iovec){ all, size };
            return syscall(SYS_ptrace, request, pid, address, &whole);
        }
    }
    result = syscall(SYS_ptrace, request, pid, address, peek ? &peeked : data);
    return peek && result == 0 ? peeked : result;
}
