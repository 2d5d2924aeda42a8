#define _GNU_SOURCE
#include "fault.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// Sessions that are open, and the numbers under which objects and slots are shown.

enum {
    MAXIMUM_SESSIONS = 4096,        // more are refused with CKR_SESSION_COUNT
    MAXIMUM_OBJECTS = 1024 * 1024,  // further ones are shown under their own number
    BLOCK = 64,                     // objects whose numbers change places among themselves
};

typedef struct {
    CK_SESSION_HANDLE handle;
    bool is_dead;  // the token was away since it was opened
    CK_OBJECT_HANDLE key;
    CK_MECHANISM_TYPE mechanism;
} open_session;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static open_session sessions[MAXIMUM_SESSIONS];
static size_t session_count;
static CK_OBJECT_HANDLE *objects;
static size_t object_count, object_room;
static unsigned long initialisations;
// With `reuse handles`: the number that all keys get, and the key that it means now.
static CK_OBJECT_HANDLE reused_number, reused_object;

static open_session *find(CK_SESSION_HANDLE handle) {
    for (size_t index = 0; index < session_count; index++) {
        if (sessions[index].handle == handle) return &sessions[index];
    }
    return NULL;
}

void fault_forget_handles(void) {
    pthread_mutex_lock(&mutex);
    session_count = 0;
    object_count = 0;
    reused_number = reused_object = 0;
    initialisations++;
    pthread_mutex_unlock(&mutex);
}

bool fault_opened(CK_SESSION_HANDLE session) {
    pthread_mutex_lock(&mutex);
    open_session *entry = find(session);
    bool fits = entry != NULL || session_count < MAXIMUM_SESSIONS;
    if (fits && entry == NULL) entry = &sessions[session_count++];
    if (fits) *entry = (open_session){.handle = session};
    pthread_mutex_unlock(&mutex);
    return fits;
}

void fault_closed(CK_SESSION_HANDLE session) {
    pthread_mutex_lock(&mutex);
    open_session *entry = find(session);
    if (entry != NULL) *entry = sessions[--session_count];
    pthread_mutex_unlock(&mutex);
}

void fault_closed_all(void) {
    pthread_mutex_lock(&mutex);
    session_count = 0;
    pthread_mutex_unlock(&mutex);
}

unsigned long fault_open_sessions(void) {
    pthread_mutex_lock(&mutex);
    unsigned long open = 0;
    for (size_t index = 0; index < session_count; index++) open += !sessions[index].is_dead;
    pthread_mutex_unlock(&mutex);
    return open;
}

void fault_remove_token(void) {
    pthread_mutex_lock(&mutex);
    for (size_t index = 0; index < session_count; index++) sessions[index].is_dead = true;
    pthread_mutex_unlock(&mutex);
    // Whoever pulls a token out logs everybody out of it.
    CK_SLOT_ID slots[64];
    CK_ULONG count = sizeof slots / sizeof slots[0];
    if (fault_real == NULL || fault_real->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK) return;
    for (CK_ULONG index = 0; index < count; index++) (void)fault_real->C_CloseAllSessions(slots[index]);
}

bool fault_is_dead(CK_SESSION_HANDLE session) {
    pthread_mutex_lock(&mutex);
    const open_session *entry = find(session);
    bool is_dead = entry != NULL && entry->is_dead;
    pthread_mutex_unlock(&mutex);
    return is_dead;
}

void fault_note_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, const CK_MECHANISM *mechanism) {
    pthread_mutex_lock(&mutex);
    open_session *entry = find(session);
    if (entry != NULL) {
        entry->key = object;
        entry->mechanism = mechanism == NULL ? 0 : mechanism->mechanism;
    }
    pthread_mutex_unlock(&mutex);
}

bool fault_noted_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *object, CK_MECHANISM_TYPE *mechanism) {
    pthread_mutex_lock(&mutex);
    const open_session *entry = find(session);
    bool found = entry != NULL && entry->key != 0;
    if (found) {
        *object = entry->key;
        *mechanism = entry->mechanism;
    }
    pthread_mutex_unlock(&mutex);
    return found;
}

static bool renumbers_objects(void) {
    fault_lock();
    bool renumbers = fault_now != NULL && fault_now->renumber_objects;
    fault_unlock();
    return renumbers;
}

// Numbers are dense and turn within their block with every initialisation: a number kept from before is somebody else's now.
static size_t turned(size_t index) { return index / BLOCK * BLOCK + (index + initialisations) % BLOCK; }

static size_t turned_back(size_t number) {
    return number / BLOCK * BLOCK + (number % BLOCK + BLOCK - initialisations % BLOCK) % BLOCK;
}

CK_OBJECT_HANDLE fault_shown_object(CK_OBJECT_HANDLE real) {
    if (real == 0 || !renumbers_objects()) return real;
    CK_OBJECT_HANDLE shown = real;
    pthread_mutex_lock(&mutex);
    size_t index = 0;
    while (index < object_count && objects[index] != real) index++;
    if (index == object_count && object_count == object_room && object_room < MAXIMUM_OBJECTS) {
        size_t room = object_room == 0 ? 1024 : object_room * 2;
        CK_OBJECT_HANDLE *larger = realloc(objects, room * sizeof *objects);
        if (larger != NULL) {
            objects = larger;
            object_room = room;
        }
    }
    if (index < object_room) {
        if (index == object_count) objects[object_count++] = real;
        shown = turned(index) + 1;
    }
    pthread_mutex_unlock(&mutex);
    return shown;
}

static bool reuses_handles(void) {
    fault_lock();
    bool reuses = fault_now != NULL && fault_now->reuse_handles;
    fault_unlock();
    return reuses;
}

// The first key's number for each key that follows: it means the newest one.
CK_OBJECT_HANDLE fault_shown_key(CK_OBJECT_HANDLE real) {
    CK_OBJECT_HANDLE shown = fault_shown_object(real);
    if (real == 0 || !reuses_handles()) return shown;
    pthread_mutex_lock(&mutex);
    if (reused_number == 0) reused_number = shown;
    reused_object = real;
    shown = reused_number;
    pthread_mutex_unlock(&mutex);
    return shown;
}

CK_OBJECT_HANDLE fault_real_object(CK_OBJECT_HANDLE shown) {
    if (shown != 0 && reuses_handles()) {
        pthread_mutex_lock(&mutex);
        CK_OBJECT_HANDLE reused = shown == reused_number ? reused_object : 0;
        pthread_mutex_unlock(&mutex);
        if (reused != 0) return reused;
    }
    if (shown == 0 || !renumbers_objects()) return shown;
    pthread_mutex_lock(&mutex);
    size_t index = turned_back(shown - 1);
    CK_OBJECT_HANDLE real = index < object_count ? objects[index] : 0;
    pthread_mutex_unlock(&mutex);
    return real;
}

CK_SLOT_ID fault_swapped_slot(CK_SLOT_ID slot) {
    const CK_SLOT_ID mask = 0x10000;
    fault_lock();
    bool renumbers = fault_now != NULL && fault_now->renumber_slots;
    fault_unlock();
    pthread_mutex_lock(&mutex);
    CK_SLOT_ID swapped = renumbers ? slot ^ mask * (initialisations % 8) : slot;
    pthread_mutex_unlock(&mutex);
    return swapped;
}

void fault_label(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, char *label, size_t size) {
    CK_ATTRIBUTE wanted = {CKA_LABEL, label, size - 1};
    label[0] = 0;
    if (fault_real == NULL || fault_real->C_GetAttributeValue(session, object, &wanted, 1) != CKR_OK) return;
    label[wanted.ulValueLen < size ? wanted.ulValueLen : size - 1] = 0;
}
