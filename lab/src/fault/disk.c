// A disk that answers late: fdatasync and fsync wait for so many milliseconds as the file SLOW_DISK says.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void wait_for_the_disk(void)
{
	const char *path = getenv("SLOW_DISK");
	FILE *file = path ? fopen(path, "re") : NULL;
	long milliseconds = 0;
	if (!file)
		return;
	if (fscanf(file, "%ld", &milliseconds) != 1)
		milliseconds = 0;
	fclose(file);
	struct timespec left = { milliseconds / 1000, milliseconds % 1000 * 1000000 };
	while (nanosleep(&left, &left) != 0)
		;
}

int fdatasync(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	wait_for_the_disk();
	return real(fd);
}

int fsync(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
	wait_for_the_disk();
	return real(fd);
}
