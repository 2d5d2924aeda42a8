// Preloaded into a program under test: counts what it does to files below some directories, and at a chosen point kills the process,
// tears the write in two and kills it, or makes every write fail as on a full disk. Test builds compile it; nothing links it.
//
//   CRASH_UNDER  directories, with ':' in between    CRASH_LOG  a file that gets a line for each point
//   CRASH_AT     the point, from 1          CRASH_MODE kill (before the point), tear (in its middle), full or broken (ENOSPC or EIO
//                                                      from there on; what makes room goes on to work)
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic long points;
static const char *under;
static long at;
static const char *mode = "";
static int log_file = -1;

__attribute__((constructor)) static void begin(void) {
    const char *log = getenv("CRASH_LOG"), *place = getenv("CRASH_AT"), *how = getenv("CRASH_MODE");
    under = getenv("CRASH_UNDER");
    at = place == NULL ? 0 : atol(place);
    if (how != NULL) mode = how;
    if (log != NULL) log_file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static bool is_mode(const char *name) { return strcmp(mode, name) == 0; }

static bool is_under(const char *path) {
    for (const char *directory = under; directory != NULL && *directory != 0;) {
        const char *end = strchrnul(directory, ':');
        size_t length = (size_t)(end - directory);
        if (strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == 0)) return true;
        directory = *end == 0 ? end : end + 1;
    }
    return false;
}

// Counts the point. Returns whether the process is to be killed in its middle (1) or the write to fail (2).
static int point(const char *what, const char *path, bool is_write) {
    if (!is_under(path)) return 0;
    long number = atomic_fetch_add(&points, 1) + 1;
    if (log_file >= 0) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%ld %s %s\n", number, what, path);
        (void)!syscall(SYS_write, log_file, line, (size_t)length);
    }
    if (at == 0) return 0;
    if (number == at && is_mode("tear") && is_write) return 1;
    if (number == at && (is_mode("kill") || is_mode("tear"))) raise(SIGKILL);
    return is_write && number >= at && (is_mode("full") || is_mode("broken")) ? 2 : 0;
}

static int point_of(const char *what, int file, bool is_write) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return point(what, path, is_write);
}

static int failure(void) { return is_mode("broken") ? EIO : ENOSPC; }

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int file, const void *bytes, size_t count) {
    switch (point_of("write", file, true)) {
    case 1:
        (void)!syscall(SYS_write, file, bytes, count / 2);
        raise(SIGKILL);
        break;
    case 2: errno = failure(); return -1;
    }
    return syscall(SYS_write, file, bytes, count);
}

static ssize_t write_at(const char *what, int file, const void *bytes, size_t count, off_t offset) {
    switch (point_of(what, file, true)) {
    case 1:
        (void)!syscall(SYS_pwrite64, file, bytes, count / 2, offset);
        raise(SIGKILL);
        break;
    case 2: errno = failure(); return -1;
    }
    return syscall(SYS_pwrite64, file, bytes, count, offset);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
    return write_at("pwrite", file, bytes, count, offset);
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    return write_at("pwrite", file, bytes, count, offset);
}

// What a stream holds back is written here: SoftHSM writes all its files so.
static bool flush_fails(FILE *stream, const char *what) {
    size_t pending = __fpending(stream);
    if (pending == 0) return false;
    switch (point_of(what, fileno(stream), true)) {
    case 1:
        (void)!syscall(SYS_write, fileno(stream), stream->_IO_write_base, pending / 2);
        raise(SIGKILL);
        break;
    case 2:
        __fpurge(stream);
        errno = failure();
        return true;
    }
    return false;
}

int fflush(FILE *stream) {
    if (stream != NULL && flush_fails(stream, "fflush")) return EOF;
    return REAL(fflush)(stream);
}

int fclose(FILE *stream) {
    bool failed = flush_fails(stream, "fclose");
    int code = failure(), result = REAL(fclose)(stream);
    if (!failed) return result;
    errno = code;
    return EOF;
}

int ftruncate(int file, off_t length) {
    point_of("ftruncate", file, false);
    return (int)syscall(SYS_ftruncate, file, length);
}
int ftruncate64(int file, off64_t length) {
    point_of("ftruncate", file, false);
    return (int)syscall(SYS_ftruncate, file, length);
}

int fsync(int file) {
    point_of("fsync", file, false);
    return (int)syscall(SYS_fsync, file);
}
int fdatasync(int file) {
    point_of("fdatasync", file, false);
    return (int)syscall(SYS_fdatasync, file);
}

int rename(const char *from, const char *to) {
    point("rename", to, false);
    return (int)syscall(SYS_rename, from, to);
}

int unlink(const char *path) {
    point("unlink", path, false);
    return (int)syscall(SYS_unlink, path);
}

int mkdir(const char *path, mode_t permissions) {
    if (point("mkdir", path, true) == 2) {
        errno = failure();
        return -1;
    }
    return (int)syscall(SYS_mkdir, path, permissions);
}

static int open_at(const char *path, int flags, mode_t permissions) {
    if (flags & (O_CREAT | O_TRUNC)) {
        bool is_new = flags & O_CREAT && access(path, F_OK) != 0;
        int fate = is_new || flags & O_TRUNC ? point("open", path, is_new) : 0;
        if (fate == 1) raise(SIGKILL);
        if (fate == 2) {
            errno = failure();
            return -1;
        }
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, permissions);
}

static mode_t permissions_of(int flags, va_list arguments) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t permissions = permissions_of(flags, arguments);
    va_end(arguments);
    return open_at(path, flags, permissions);
}
int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t permissions = permissions_of(flags, arguments);
    va_end(arguments);
    return open_at(path, flags, permissions);
}
