/* The wall clock of a process, with so many seconds added as stand in the file STORE_CLOCK (a double). Preloaded into the
   store of a chaos run: its machine's clock must not be touched, and no root is needed. Other clocks stay as they are. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile double *added;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("STORE_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *added, PROT_READ, MAP_SHARED, file, 0);
  if (page == MAP_FAILED)
    _exit(70); /* a store with a right clock would prove nothing */
  added = page;
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = (int)syscall(SYS_clock_gettime, clock, now);
  if (!failed && added && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    long long all = now->tv_sec * 1000000000LL + now->tv_nsec + (long long)(*added * 1e9);
    now->tv_sec = (time_t)(all / 1000000000LL);
    now->tv_nsec = (long)(all % 1000000000LL);
  }
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec exact;
  (void)zone;
  int failed = clock_gettime(CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return failed;
}

time_t time(time_t *where) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  if (where)
    *where = exact.tv_sec;
  return exact.tv_sec;
}
