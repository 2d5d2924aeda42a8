#define _GNU_SOURCE
#include "fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// The control file as it is now, and the real module behind it.

const CK_FUNCTION_LIST *fault_real;
fault_settings *fault_now;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char path[MAXIMUM_PATH];
// What the file was when it was last read: a change of any is a change of the file.
static struct stat known;
static bool is_known;

void fault_lock(void) { pthread_mutex_lock(&mutex); }
void fault_unlock(void) { pthread_mutex_unlock(&mutex); }
const char *fault_control_path(void) { return path; }

// Finds the file's name, and in `rest` what the real module gets as its pReserved.
static bool locate(void *reserved, char **rest) {
    static const char prefix[] = "claviger-fault:";
    *rest = reserved;
    const char *name = getenv(CLAVIGER_FAULT_VARIABLE);
    if (reserved != NULL && strncmp(reserved, prefix, sizeof prefix - 1) == 0) {
        char *begin = (char *)reserved + sizeof prefix - 1;
        char *end = strchrnul(begin, '\n');
        if ((size_t)(end - begin) >= sizeof path) return false;
        memcpy(path, begin, (size_t)(end - begin));
        path[end - begin] = 0;
        *rest = *end == 0 || end[1] == 0 ? NULL : end + 1;
        return true;
    }
    if (name == NULL || strlen(name) >= sizeof path) return false;
    strcpy(path, name);
    return true;
}

static char *read_whole(int file, size_t *size) {
    char *text = malloc(MAXIMUM_CONTROL + 1);
    *size = 0;
    while (text != NULL && *size <= MAXIMUM_CONTROL) {
        ssize_t count = read(file, text + *size, MAXIMUM_CONTROL + 1 - *size);
        if (count < 0 && errno == EINTR) continue;
        if (count == 0) {
            text[*size] = 0;
            return text;
        }
        if (count < 0) break;
        *size += (size_t)count;
    }
    free(text);
    return NULL;
}

// A rule that stands in both files goes on counting.
static void keep_counts(fault_settings *fresh) {
    if (fault_now == NULL) return;
    for (int index = 0; index < fresh->rule_count; index++) {
        for (int old = 0; old < fault_now->rule_count; old++) {
            if (strcmp(fresh->rules[index].text, fault_now->rules[old].text) != 0) continue;
            fresh->rules[index].seen = fault_now->rules[old].seen;
            fresh->rules[index].fired = fault_now->rules[old].fired;
        }
    }
}

static bool is_same(const struct stat *left, const struct stat *right) {
    return left->st_dev == right->st_dev && left->st_ino == right->st_ino && left->st_size == right->st_size
        && left->st_mtim.tv_sec == right->st_mtim.tv_sec && left->st_mtim.tv_nsec == right->st_mtim.tv_nsec;
}

// A file that cannot be read or understood leaves what held before, and is complained of once.
bool fault_refresh(void) {
    struct stat now;
    if (stat(path, &now) != 0) memset(&now, 0, sizeof now);
    if (is_known && is_same(&now, &known)) return fault_now != NULL;
    is_known = true;
    known = now;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    size_t size = 0;
    char *text = file < 0 ? NULL : read_whole(file, &size);
    if (file >= 0) close(file);
    if (text == NULL) {
        fault_say("the control file %s cannot be read (at most %d bytes)", path, MAXIMUM_CONTROL);
        return false;
    }
    char problem[256];
    fault_settings *fresh = malloc(sizeof *fresh);
    if (fresh != NULL && fault_parse(text, fresh, problem, sizeof problem)) {
        keep_counts(fresh);
        bool vanished = fresh->absent && (fault_now == NULL || !fault_now->absent);
        fault_settings *old = fault_now;
        fault_now = fresh;
        free(old);
        fault_reopen_trace();
        if (vanished) fault_remove_token();
    } else {
        if (fresh != NULL) fault_say("%s: %s", path, problem);
        free(fresh);
        free(text);
        return false;
    }
    free(text);
    return true;
}

// Every member must be there (PKCS#11 v2.40 section 5.1), as what is not supported answers so by itself.
static bool is_whole(const CK_FUNCTION_LIST *list) {
#define CHECK(name) && list->name != NULL
    return true FAULT_FUNCTIONS(CHECK);
#undef CHECK
}

CK_RV fault_load(void *reserved, char **rest) {
    fault_lock();
    if (!locate(reserved, rest)) {
        fault_say("the environment variable %s names no control file", CLAVIGER_FAULT_VARIABLE);
        fault_unlock();
        return CKR_ARGUMENTS_BAD;
    }
    is_known = false;
    // A wrong file at the start is an error, not a rehearsal without faults.
    if (!fault_refresh()) {
        fault_unlock();
        return CKR_ARGUMENTS_BAD;
    }
    char module[MAXIMUM_PATH];
    strcpy(module, fault_now->module);
    fault_unlock();
    if (fault_real != NULL) return CKR_OK;
    void *library = dlopen(module, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList entry = NULL;
    if (library != NULL) *(void **)&entry = dlsym(library, "C_GetFunctionList");
    CK_FUNCTION_LIST *list = NULL;
    if (entry == NULL || entry(&list) != CKR_OK || list == NULL || list == &fault_list || !is_whole(list)) {
        fault_say("the real module %s cannot be loaded: %s", module, library == NULL ? dlerror() : "it gives no functions");
        return CKR_LIBRARY_LOAD_FAILED;
    }
    fault_real = list;
    return CKR_OK;
}

bool fault_is_hidden(CK_MECHANISM_TYPE mechanism) {
    bool found = false;
    fault_lock();
    for (int index = 0; fault_now != NULL && index < fault_now->hidden_count; index++) {
        if (fault_now->hidden[index] == mechanism) found = true;
    }
    fault_unlock();
    return found;
}

bool fault_is_ignored(CK_ATTRIBUTE_TYPE type) {
    bool found = false;
    fault_lock();
    for (int index = 0; fault_now != NULL && index < fault_now->ignored_count; index++) {
        if (fault_now->ignored[index] == type) found = true;
    }
    fault_unlock();
    return found;
}
