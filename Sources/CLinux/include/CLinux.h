#pragma once
// Linux system calls that Swift's Glibc module does not import, one call a function: no policy, no state.
// Every function returns what the call returns; on -1 the reason is in errno.
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/types.h>

/// accept4(2) with SOCK_CLOEXEC and SOCK_NONBLOCK.
int linux_accept(int listener);
/// SO_PEERCRED: the peer's identity at connect(2), as the kernel recorded it.
int linux_peer_credentials(int socket, int32_t *pid, uint32_t *uid, uint32_t *gid);
/// SO_PEERGROUPS: writes at most `capacity` groups; returns how many the peer has, -1 with ERANGE when more.
int linux_peer_groups(int socket, uint32_t *groups, int capacity);
/// SO_PEERPIDFD (kernel 6.5): a pidfd of the peer, close-on-exec; -1 with ENOPROTOOPT on older kernels.
int linux_peer_pidfd(int socket);
/// pidfd_open(2).
int linux_pidfd_open(int32_t pid);
/// memfd_secret(2), close-on-exec; -1 with ENOSYS where the kernel lacks it or has it switched off.
int linux_memfd_secret(void);
/// getrandom(2), flags 0.
ssize_t linux_getrandom(void *buffer, size_t count);
/// prctl(PR_SET_DUMPABLE, 0): no core, no ptrace by the same user, /proc/self owned by root.
int linux_set_undumpable(void);
/// prctl(PR_SET_PDEATHSIG): the signal this process receives when its parent dies.
int linux_set_parent_death_signal(int signal);
/// pthread_setname_np for the calling thread; at most 15 bytes.
int linux_set_thread_name(const char *name);
/// socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC).
int linux_unix_stream_socket(void);
/// socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC).
int linux_unix_datagram_socket(void);
/// bind(2) to a path; -1 with ENAMETOOLONG when it does not fit sun_path (107 bytes).
int linux_unix_bind(int socket, const char *path);
/// connect(2) to a path, or to an abstract name when it starts with '@'; -1 with ENAMETOOLONG as for bind.
int linux_unix_connect(int socket, const char *path);
/// The longest path that fits sun_path with its terminating zero.
int linux_unix_path_maximum(void);
/// posix_spawn_file_actions_addclosefrom_np; `actions` is a posix_spawn_file_actions_t *.
int linux_spawn_close_from(void *actions, int first);
/// secure_getenv(3).
const char *linux_secure_getenv(const char *name);
/// fallocate(2), mode 0.
int linux_fallocate(int file, int64_t offset, int64_t length);
/// fallocate(2), FALLOC_FL_KEEP_SIZE: blocks are taken, the file's length stays.
int linux_fallocate_keeping_size(int file, int64_t offset, int64_t length);
