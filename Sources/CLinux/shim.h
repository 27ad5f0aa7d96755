// What Swift's Glibc module lacks: epoll, eventfd, accept4, sendfile, affinity, and the variadic
// calls, which Swift cannot import. Only declarations and one-line wrappers; no logic.
//
// _GNU_SOURCE is not defined here: with it fd_set and struct rusage differ from those of Swift's own
// Glibc module, and no file could see both. The few GNU calls that are needed are declared by hand.
#ifndef WEIR_CLINUX_H
#define WEIR_CLINUX_H
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SIOCOUTQ
#define SIOCOUTQ 0x5411
#endif

static inline int weir_errno(void) { return errno; }
static inline void weir_set_errno(int value) { errno = value; }
static inline int weir_open(const char *path, int flags, mode_t mode) {
  return open(path, flags | O_CLOEXEC, mode);
}
static inline int weir_fcntl_int(int fd, int command, int value) { return fcntl(fd, command, value); }
static inline int weir_ioctl_int(int fd, unsigned long request, int *value) {
  return ioctl(fd, request, value);
}
static inline int weir_wifexited(int status) { return WIFEXITED(status); }
static inline int weir_wexitstatus(int status) { return WEXITSTATUS(status); }
static inline int weir_wifsignaled(int status) { return WIFSIGNALED(status); }
static inline int weir_wtermsig(int status) { return WTERMSIG(status); }
// sighandler_t constants are casts, which Swift does not import.
static inline void weir_ignore_signal(int number) { signal(number, SIG_IGN); }
static inline void weir_default_signal(int number) { signal(number, SIG_DFL); }

// Opening beneath a directory. openat2(2) has no wrapper in this glibc; its number is the same on all
// architectures, and its structure is three words (linux/openat2.h).
static inline int weir_openat2(int directory, const char *path, uint64_t flags, uint64_t resolve) {
  struct { uint64_t flags, mode, resolve; } how = {flags | O_CLOEXEC, 0, resolve};
  return (int)syscall(437, directory, path, &how, sizeof how);
}
static inline int weir_openat(int directory, const char *path, int flags) {
  return openat(directory, path, flags | O_CLOEXEC);
}
static inline const char *weir_entry_name(const struct dirent *entry) { return entry->d_name; }
// Reads what is in the page cache only: EAGAIN where the disk would have to be waited for.
static inline ssize_t weir_pread_cached(int fd, void *buffer, size_t count, off_t offset) {
  struct iovec vector = {buffer, count};
  return syscall(SYS_preadv2, fd, &vector, 1, (unsigned long)offset, 0UL, 0x8 /* RWF_NOWAIT */);
}

// Whether a file's content is in memory always: it is on tmpfs or ramfs.
static inline int weir_is_in_memory(int fd) {
  struct statfs status;
  if (fstatfs(fd, &status) != 0) return 0;
  return status.f_type == 0x01021994 /* TMPFS_MAGIC */ || status.f_type == 0x858458f6 /* RAMFS_MAGIC */;
}

// epoll_wait to the nanosecond (negative: for ever). A kernel before 5.11, or a filter of system calls that
// does not know epoll_pwait2, waits to the millisecond, rounded up.
static inline int weir_epoll_wait(int epoll, struct epoll_event *events, int count,
                                  int64_t nanoseconds) {
  if (nanoseconds > 0) {
    struct timespec time = {.tv_sec = nanoseconds / 1000000000,
                            .tv_nsec = nanoseconds % 1000000000};
    int found = epoll_pwait2(epoll, events, count, &time, NULL);
    if (found >= 0 || (errno != ENOSYS && errno != EPERM)) return found;
  }
  int64_t milliseconds = nanoseconds / 1000000 + (nanoseconds % 1000000 > 0);
  if (nanoseconds < 0) milliseconds = -1;
  if (milliseconds > INT32_MAX) milliseconds = INT32_MAX;
  return epoll_wait(epoll, events, count, (int)milliseconds);
}

// epoll_event is packed and its data a union; Swift reads it through these.
static inline struct epoll_event weir_epoll_event(uint32_t events, uint64_t token) {
  struct epoll_event event;
  event.events = events;
  event.data.u64 = token;
  return event;
}
static inline uint64_t weir_epoll_token(const struct epoll_event *event) { return event->data.u64; }

extern int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
extern int pipe2(int fds[2], int flags);

// Affinity without cpu_set_t: a mask of 1,024 processors, as the kernel takes it.
static inline int weir_pin_to_cpu(int cpu) {
  unsigned long mask[1024 / (8 * sizeof(unsigned long))] = {0};
  if (cpu < 0 || cpu >= 1024) return -1;
  mask[(unsigned)cpu / (8 * sizeof(unsigned long))] |= 1UL << ((unsigned)cpu % (8 * sizeof(unsigned long)));
  return (int)syscall(SYS_sched_setaffinity, 0, sizeof mask, mask);
}
// How many processors this process may run on.
static inline int weir_cpu_count(void) {
  unsigned long mask[1024 / (8 * sizeof(unsigned long))] = {0};
  if (syscall(SYS_sched_getaffinity, 0, sizeof mask, mask) < 0) return 1;
  int count = 0;
  for (unsigned i = 0; i < sizeof mask / sizeof mask[0]; i++) count += __builtin_popcountl(mask[i]);
  return count > 0 ? count : 1;
}
static inline int weir_set_thread_name(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }
// The effective user of the calling thread only, where libc's seteuid changes every thread's.
static inline int weir_set_thread_user(unsigned id) { return (int)syscall(SYS_setresuid, -1, id, -1); }
// Raises the soft limit of descriptors to the hard one; returns what it is then.
static inline long weir_raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur > 1000000000UL ? 1000000000L : (long)limit.rlim_cur;
}
// Where a short-lived pointer is enough: the id of the calling thread.
/* recv and send of the C library are cancellation points, which costs every call two more functions. */
static inline ssize_t weir_recv(int fd, void *buffer, size_t count) {
  return syscall(SYS_recvfrom, fd, buffer, count, 0, NULL, NULL);
}
static inline ssize_t weir_send(int fd, const void *bytes, size_t count, int flags) {
  return syscall(SYS_sendto, fd, bytes, count, flags, NULL, 0);
}
/* TCP drops what MSG_TRUNC takes (tcp(7)). */
static inline ssize_t weir_recv_discard(int fd, size_t count) {
  return syscall(SYS_recvfrom, fd, NULL, count, MSG_TRUNC, NULL, NULL);
}
/* epoll_pwait2(2), Linux 5.11, of the same number on all architectures. */
static inline int weir_epoll_pwait2(int fd, struct epoll_event *events, int count, const struct timespec *limit) {
  return (int)syscall(441, fd, events, count, limit, NULL, (size_t)0);
}
static inline int weir_set_timer_slack(unsigned long nanoseconds) {
  return prctl(PR_SET_TIMERSLACK, nanoseconds, 0, 0, 0);
}

/* For the calling thread: a slice of 0.1 ms, with which it gets onto a busy processor when it wakes and not at the next
   tick (sched_setattr(2), Linux 6.12; an earlier kernel takes the call and passes over the slice), and the nice value,
   if the process may lower it. */
static inline void weir_make_prompt(int nice) {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } wanted = {.size = sizeof wanted, .policy = SCHED_OTHER, .nice = getpriority(PRIO_PROCESS, 0), .runtime = 100000};
  syscall(SYS_sched_setattr, 0, &wanted, 0);
  setpriority(PRIO_PROCESS, 0, nice);
}

/* The calling thread gets what others leave. */
static inline void weir_make_patient(void) { setpriority(PRIO_PROCESS, 0, 19); }

/* Has a file say that it was changed then (Unix time). */
static inline int weir_set_changed(int fd, time_t seconds) {
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = seconds}};
  return futimens(fd, times);
}

static inline int weir_thread_id(void) { return (int)syscall(SYS_gettid); }

// Atomics on words in allocated memory (Swift's Atomic cannot be placed there one by one).
static inline uint64_t weir_load_relaxed(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline uint64_t weir_load_acquire(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline uint64_t weir_load_seqcst(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static inline void weir_store_relaxed(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static inline void weir_store_release(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void weir_store_seqcst(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }
static inline uint64_t weir_fetch_add(uint64_t *p, uint64_t v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
static inline int weir_compare_exchange(uint64_t *p, uint64_t expected, uint64_t desired) {
  return __atomic_compare_exchange_n(p, &expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}
// Asks for a cache line that is about to be read and written. Any number will do: a prefetch of an
// address that is not mapped does nothing.
/* Asks for the cache lines of a run of bytes that is about to be read. */
static inline void weir_prefetch_read(const void *start, size_t count) {
  for (size_t offset = 0; offset < count; offset += 64)
    __builtin_prefetch((const char *)start + offset, 0, 3);
}
static inline void weir_prefetch(uintptr_t address) { __builtin_prefetch((const void *)address, 1, 3); }
static inline void weir_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

// Becomes a user, with all groups, for good. What errno says if not; ENOENT: there is no such user.
static inline int weir_become(const char *name) {
  errno = 0;
  struct passwd *user = getpwnam(name);
  if (!user) return errno ? errno : ENOENT;
  if (user->pw_uid == geteuid()) return 0;
  if (initgroups(name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
    return errno;
  return 0;
}

// Descriptors travel in packets; the macros that say where in them are not visible to Swift. At most
// 253 at a time (SCM_MAX_FD).
static inline ssize_t weir_send_packet(
    int socket, const void *bytes, size_t count, const int *descriptors, size_t descriptor_count) {
  union { struct cmsghdr header; char room[CMSG_SPACE(253 * sizeof(int))]; } control;
  struct iovec part = {(void *)bytes, count};
  struct msghdr message = {0};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptor_count > 253) { errno = EINVAL; return -1; }
  if (descriptor_count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(descriptor_count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptor_count * sizeof(int));
    memcpy(CMSG_DATA(header), descriptors, descriptor_count * sizeof(int));
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL);
}
// `descriptors` has room for 253; what does not fit is closed by the kernel (MSG_CTRUNC: an error here).
static inline ssize_t weir_receive_packet(
    int socket, void *bytes, size_t count, int *descriptors, size_t *descriptor_count) {
  union { struct cmsghdr header; char room[CMSG_SPACE(253 * sizeof(int))]; } control;
  struct iovec part = {bytes, count};
  struct msghdr message = {0};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  *descriptor_count = 0;
  ssize_t result = recvmsg(socket, &message, 0x40000000 /* MSG_CMSG_CLOEXEC */);
  if (result < 0) return result;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t there = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    if (*descriptor_count + there > 253) there = 253 - *descriptor_count;
    memcpy(descriptors + *descriptor_count, CMSG_DATA(header), there * sizeof(int));
    *descriptor_count += there;
  }
  if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
    for (size_t index = 0; index < *descriptor_count; index++) close(descriptors[index]);
    *descriptor_count = 0;
    errno = EMSGSIZE;
    return -1;
  }
  return result;
}

// For processes that start and watch each other.
static inline int weir_die_with_parent(int number) { return prctl(PR_SET_PDEATHSIG, number, 0, 0, 0); }
extern int memfd_create(const char *name, unsigned int flags);
extern void *memmem(const void *text, size_t count, const void *part, size_t length);
static inline int weir_memory_file(const char *name) { return memfd_create(name, 1 /* MFD_CLOEXEC */); }
extern char **environ;
static inline char *const *weir_environment(void) { return environ; }

#endif
