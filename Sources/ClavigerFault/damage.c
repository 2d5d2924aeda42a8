#define _GNU_SOURCE
#include "fault.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// What rules do to outputs, to templates and to the files that a token writes.

static _Atomic uint64_t stream;

void fault_rewind_stream(uint64_t seed) { atomic_store(&stream, seed); }

static uint8_t next_of_stream(void) {
    uint64_t state = atomic_fetch_add(&stream, 1);
    return (uint8_t)fault_random(&state);
}

void fault_damage_output(fault_call *call, void *output, CK_ULONG *length) {
    if (!call->has_rule || call->rule.damage == DAMAGE_NONE || call->result != CKR_OK) return;
    if (output == NULL || length == NULL || *length == 0) return;
    uint8_t *bytes = output;
    switch (call->rule.damage) {
    case DAMAGE_NONE: break;
    case DAMAGE_FLIP: {
        uint64_t bit = fault_random(&call->random) % (*length * 8);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        break;
    }
    case DAMAGE_ZERO: memset(bytes, 0, *length); break;
    case DAMAGE_SHORTEN: *length -= 1; break;
    case DAMAGE_LENGTHEN: *length += 1; break;
    case DAMAGE_CONSTANT: memset(bytes, 0xa5, *length); break;
    case DAMAGE_REPEAT:
        for (CK_ULONG index = 0; index < *length; index++) bytes[index] = next_of_stream();
        break;
    }
}

// The template without what the token ignores: a copy that the caller frees, or NULL when nothing is left out. What follows is
// then the token's own default, as on tokens that do not know an attribute.
CK_ATTRIBUTE *fault_without_ignored(const CK_ATTRIBUTE *attributes, CK_ULONG *count) {
    CK_ULONG kept = 0;
    for (CK_ULONG index = 0; index < *count; index++) kept += !fault_is_ignored(attributes[index].type);
    if (kept == *count) return NULL;
    CK_ATTRIBUTE *copy = malloc((kept + 1) * sizeof *copy);
    if (copy == NULL) return NULL;
    CK_ULONG place = 0;
    for (CK_ULONG index = 0; index < *count; index++) {
        if (!fault_is_ignored(attributes[index].type)) copy[place++] = attributes[index];
    }
    *count = kept;
    return copy;
}

// Files

// An object file as it was before the call.
typedef struct {
    char path[MAXIMUM_PATH + 600];
    struct stat status;
} seen_file;

struct fault_files {
    size_t count, room;
    seen_file *files;
};

typedef void (*visitor)(const char *path, const struct stat *status, void *context);

static bool is_object(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot != NULL && strcmp(dot, ".object") == 0;
}

// Visits the object files of all tokens: one directory a token below `storage`.
static void visit(const char *storage, visitor body, void *context) {
    DIR *tokens = opendir(storage);
    for (const struct dirent *token; tokens != NULL && (token = readdir(tokens)) != NULL;) {
        char directory[MAXIMUM_PATH + 300], path[MAXIMUM_PATH + 600];
        if (token->d_name[0] == '.') continue;
        snprintf(directory, sizeof directory, "%s/%s", storage, token->d_name);
        DIR *objects = opendir(directory);
        for (const struct dirent *object; objects != NULL && (object = readdir(objects)) != NULL;) {
            struct stat status;
            snprintf(path, sizeof path, "%s/%s", directory, object->d_name);
            if (is_object(object->d_name) && stat(path, &status) == 0) body(path, &status, context);
        }
        if (objects != NULL) closedir(objects);
    }
    if (tokens != NULL) closedir(tokens);
}

static void remember(const char *path, const struct stat *status, void *context) {
    struct fault_files *all = context;
    if (all->count == all->room) {
        size_t room = all->room == 0 ? 64 : all->room * 2;
        seen_file *larger = realloc(all->files, room * sizeof *larger);
        if (larger == NULL) return;
        all->files = larger;
        all->room = room;
    }
    seen_file *file = &all->files[all->count++];
    snprintf(file->path, sizeof file->path, "%s", path);
    file->status = *status;
}

static bool is_unchanged(const struct stat *left, const struct stat *right) {
    return left->st_ino == right->st_ino && left->st_size == right->st_size
        && left->st_mtim.tv_sec == right->st_mtim.tv_sec && left->st_mtim.tv_nsec == right->st_mtim.tv_nsec;
}

static void empty_if_changed(const char *path, const struct stat *status, void *context) {
    const struct fault_files *before = context;
    for (size_t index = 0; index < before->count; index++) {
        const seen_file *file = &before->files[index];
        if (strcmp(file->path, path) == 0 && is_unchanged(&file->status, status)) return;
    }
    if (truncate(path, 0) != 0) fault_say("cannot empty %s", path);
}

struct fault_files *fault_files_before(const char *storage) {
    struct fault_files *all = calloc(1, sizeof *all);
    if (all != NULL) visit(storage, remember, all);
    return all;
}

// What a full disk leaves when nobody looks at the result of write(2): the file that the call made or changed, empty.
void fault_empty_changed(const char *storage, struct fault_files *before) {
    if (before == NULL) return;
    visit(storage, empty_if_changed, before);
    free(before->files);
    free(before);
}
