/*
 * Loaded into the guest's kernel before libc (LD_PRELOAD, see registers.rs): when that sets the registers of a
 * process, it sets as many as the CPU has.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

/* EBX of this leaf of CPUID: how many bytes all registers take that the host's kernel has enabled */
#define XSAVE_LEAF 0xd

static unsigned int whole;
static long (*of_libc)(int, long, long, long);

__attribute__((constructor)) static void prepare(void)
{
	unsigned int eax, ecx, edx;

	if (!__get_cpuid_count(XSAVE_LEAF, 0, &eax, &whole, &ecx, &edx))
		whole = 0;
	of_libc = (long (*)(int, long, long, long))dlsym(RTLD_NEXT, "ptrace");
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list rest;
	long process, address, data;

	va_start(rest, request);
	process = va_arg(rest, long);
	address = va_arg(rest, long);
	data = va_arg(rest, long);
	va_end(rest);
	if (request == PTRACE_SETREGSET && address == NT_X86_XSTATE) {
		struct iovec set = *(struct iovec *)data;

		/*
		 * What follows in memory is not looked at: the set's head says which registers it has, and those
		 * that the guest's kernel does not know are not among them.
		 */
		if (set.iov_len < whole)
			set.iov_len = whole;
		return of_libc(request, process, address, (long)&set);
	}
	return of_libc(request, process, address, data);
}
