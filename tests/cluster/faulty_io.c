/* Input and output that fail as told, for a process that this library is preloaded into.
 *
 * FAULTY_IO names a control file, which may change at any time. Each line is a rule:
 *
 *     CALL PATTERN AFTER TIMES EFFECT
 *
 * CALL is read, write or sync (fsync, fdatasync, sync_file_range). A rule is for calls on files
 * whose path contains PATTERN. The first AFTER of them pass, the next TIMES have the EFFECT: the
 * number of an error (5 is EIO, 28 ENOSPC, 30 EROFS), or "torn", which writes the first half and
 * kills the process, or "lie", which says that a sync was done and does nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define RULES_MAX 16

struct rule {
    char call[16], pattern[256], effect[16];
    long after, times;
};

static struct rule rules[RULES_MAX];
static int rule_count;
static struct timespec loaded;
static off_t loaded_size = -1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void load(void) {
    const char *control = getenv("FAULTY_IO");
    struct stat now;
    if (control == NULL || stat(control, &now) != 0) {
        rule_count = 0;
        return;
    }
    if (now.st_size == loaded_size && now.st_mtim.tv_sec == loaded.tv_sec &&
        now.st_mtim.tv_nsec == loaded.tv_nsec)
        return;
    loaded = now.st_mtim;
    loaded_size = now.st_size;
    rule_count = 0;
    FILE *file = fopen(control, "re");
    if (file == NULL)
        return;
    struct rule *rule = rules;
    while (rule_count < RULES_MAX &&
           fscanf(file, "%15s %255s %ld %ld %15s", rule->call, rule->pattern, &rule->after,
                  &rule->times, rule->effect) == 5) {
        rule++;
        rule_count++;
    }
    fclose(file);
}

/* The effect on this call, copied to `effect`; 0 where there is none. */
static int strike(const char *call, int fd, char *effect) {
    static __thread int inside;
    if (inside)
        return 0;
    inside = 1;
    int struck = 0;
    pthread_mutex_lock(&mutex);
    load();
    for (int i = 0; i < rule_count && !struck; i++) {
        struct rule *rule = &rules[i];
        if (rule->times == 0 || strcmp(rule->call, call) != 0)
            continue;
        char link[64], path[4096];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (length <= 0)
            continue;
        path[length] = 0;
        if (strstr(path, rule->pattern) == NULL)
            continue;
        if (rule->after > 0) {
            rule->after--;
            continue;
        }
        rule->times--;
        strcpy(effect, rule->effect);
        struck = 1;
    }
    pthread_mutex_unlock(&mutex);
    inside = 0;
    return struck;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (real == NULL) \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define FAIL(effect) \
    do { \
        errno = atoi(effect); \
        return -1; \
    } while (0)

#define WRITES(name, half, arguments) \
    REAL(name); \
    char effect[16]; \
    if (strike("write", fd, effect)) { \
        if (strcmp(effect, "torn") == 0) { \
            half; \
            raise(SIGKILL); \
        } \
        FAIL(effect); \
    } \
    return real arguments

ssize_t write(int fd, const void *bytes, size_t count) {
    WRITES(write, real(fd, bytes, count / 2), (fd, bytes, count));
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    WRITES(pwrite, real(fd, bytes, count / 2, at), (fd, bytes, count, at));
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    WRITES(pwrite64, real(fd, bytes, count / 2, at), (fd, bytes, count, at));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    WRITES(writev, real(fd, parts, count / 2), (fd, parts, count));
}

#define READS(name, arguments) \
    REAL(name); \
    char effect[16]; \
    if (strike("read", fd, effect)) \
        FAIL(effect); \
    return real arguments

ssize_t read(int fd, void *bytes, size_t count) {
    READS(read, (fd, bytes, count));
}

ssize_t pread(int fd, void *bytes, size_t count, off_t at) {
    READS(pread, (fd, bytes, count, at));
}

ssize_t pread64(int fd, void *bytes, size_t count, off64_t at) {
    READS(pread64, (fd, bytes, count, at));
}

#define SYNCS(name, arguments) \
    REAL(name); \
    char effect[16]; \
    if (strike("sync", fd, effect)) { \
        if (strcmp(effect, "lie") == 0) \
            return 0; \
        FAIL(effect); \
    } \
    return real arguments

int fsync(int fd) {
    SYNCS(fsync, (fd));
}

int fdatasync(int fd) {
    SYNCS(fdatasync, (fd));
}

int sync_file_range(int fd, off64_t at, off64_t count, unsigned flags) {
    SYNCS(sync_file_range, (fd, at, count, flags));
}
