/* Stands between a process and its disk: notes what is written and synchronised, or lets it fail.
 *
 * DISK_UNDER    only files under this folder are meant
 * DISK_JOURNAL  where each operation is noted: a line of letter, offset, length, path; then bytes
 * DISK_FAULTS   a folder; while a file of this name is in it, the fault is on:
 *               fail-sync, fail-write, short-write, interrupt
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, #name))
typedef ssize_t (*Write)(int, const void *, size_t);
typedef ssize_t (*Pwrite)(int, const void *, size_t, off_t);
typedef int (*Sync)(int);
typedef int (*Truncate)(int, off_t);
typedef int (*Rename)(const char *, const char *);
typedef int (*Unlink)(const char *);

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;
static unsigned calls;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("DISK_JOURNAL");
    if (path) journal = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int under(const char *path) {
    const char *folder = getenv("DISK_UNDER");
    return folder && !strncmp(path, folder, strlen(folder));
}

static int path_of(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return under(path);
}

static int on(const char *fault) {
    const char *folder = getenv("DISK_FAULTS");
    char path[PATH_MAX];
    if (!folder) return 0;
    snprintf(path, sizeof path, "%s/%s", folder, fault);
    return !access(path, F_OK);
}

static void note(char what, off_t offset, size_t length, const char *path, const void *data) {
    char head[PATH_MAX + 80];
    if (journal < 0) return;
    int size = snprintf(head, sizeof head, "%c %lld %zu %s\n", what, (long long)offset, length, path);
    pthread_mutex_lock(&turn);
    REAL(write, Write)(journal, head, size);
    if (data) REAL(write, Write)(journal, data, length);
    pthread_mutex_unlock(&turn);
}

/* The number of bytes that may be written, or -1 with errno. */
static ssize_t allowed(size_t count) {
    if (on("fail-write")) return errno = EIO, -1;
    if (on("interrupt") && ++calls % 3 == 0) return errno = EINTR, -1;
    return on("short-write") && count > 1 ? count / 2 : count;
}

ssize_t write(int file, const void *data, size_t count) {
    char path[PATH_MAX];
    struct stat found;
    if (file == 1) note('A', 0, count, "acknowledged", data);
    if (file == 1 || !path_of(file, path) || fstat(file, &found) || !S_ISREG(found.st_mode))
        return REAL(write, Write)(file, data, count);
    ssize_t may = allowed(count);
    if (may < 0) return -1;
    off_t at = fcntl(file, F_GETFL) & O_APPEND ? found.st_size : lseek(file, 0, SEEK_CUR);
    ssize_t done = REAL(write, Write)(file, data, may);
    if (done > 0) note('W', at, done, path, data);
    return done;
}

ssize_t pwrite(int file, const void *data, size_t count, off_t offset) {
    char path[PATH_MAX];
    if (!path_of(file, path)) return REAL(pwrite, Pwrite)(file, data, count, offset);
    ssize_t may = allowed(count);
    if (may < 0) return -1;
    ssize_t done = REAL(pwrite, Pwrite)(file, data, may, offset);
    if (done > 0) note('W', offset, done, path, data);
    return done;
}

ssize_t pwrite64(int file, const void *data, size_t count, off_t offset) {
    return pwrite(file, data, count, offset);
}

static int synchronised(int file, Sync real) {
    char path[PATH_MAX];
    int ours = path_of(file, path);
    if (ours && on("fail-sync")) return errno = EIO, -1;
    int done = real(file);
    if (ours && !done) note('S', 0, 0, path, NULL);
    return done;
}

int fsync(int file) { return synchronised(file, REAL(fsync, Sync)); }
int fdatasync(int file) { return synchronised(file, REAL(fdatasync, Sync)); }

int ftruncate(int file, off_t length) {
    char path[PATH_MAX];
    int done = REAL(ftruncate, Truncate)(file, length);
    if (!done && path_of(file, path)) note('T', length, 0, path, NULL);
    return done;
}

int ftruncate64(int file, off_t length) { return ftruncate(file, length); }

int rename(const char *from, const char *to) {
    char both[2 * PATH_MAX];
    int done = REAL(rename, Rename)(from, to);
    snprintf(both, sizeof both, "%s\t%s", from, to);
    if (!done && under(from)) note('R', 0, 0, both, NULL);
    return done;
}

int unlink(const char *path) {
    int done = REAL(unlink, Unlink)(path);
    if (!done && under(path)) note('U', 0, 0, path, NULL);
    return done;
}
