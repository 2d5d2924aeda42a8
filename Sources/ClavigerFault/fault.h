#pragma once
// What the parts of the fault module share. Nothing of it is exported: the module's one entry is C_GetFunctionList.
#include "ClavigerFault.h"

#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

// The functions of the list, in its order: name and number.
#define FAULT_FUNCTIONS(X)                                                                                            \
    X(C_Initialize) X(C_Finalize) X(C_GetInfo) X(C_GetFunctionList) X(C_GetSlotList) X(C_GetSlotInfo)                \
    X(C_GetTokenInfo) X(C_GetMechanismList) X(C_GetMechanismInfo) X(C_InitToken) X(C_InitPIN) X(C_SetPIN)            \
    X(C_OpenSession) X(C_CloseSession) X(C_CloseAllSessions) X(C_GetSessionInfo) X(C_GetOperationState)              \
    X(C_SetOperationState) X(C_Login) X(C_Logout) X(C_CreateObject) X(C_CopyObject) X(C_DestroyObject)               \
    X(C_GetObjectSize) X(C_GetAttributeValue) X(C_SetAttributeValue) X(C_FindObjectsInit) X(C_FindObjects)           \
    X(C_FindObjectsFinal) X(C_EncryptInit) X(C_Encrypt) X(C_EncryptUpdate) X(C_EncryptFinal) X(C_DecryptInit)        \
    X(C_Decrypt) X(C_DecryptUpdate) X(C_DecryptFinal) X(C_DigestInit) X(C_Digest) X(C_DigestUpdate) X(C_DigestKey)   \
    X(C_DigestFinal) X(C_SignInit) X(C_Sign) X(C_SignUpdate) X(C_SignFinal) X(C_SignRecoverInit) X(C_SignRecover)    \
    X(C_VerifyInit) X(C_Verify) X(C_VerifyUpdate) X(C_VerifyFinal) X(C_VerifyRecoverInit) X(C_VerifyRecover)         \
    X(C_DigestEncryptUpdate) X(C_DecryptDigestUpdate) X(C_SignEncryptUpdate) X(C_DecryptVerifyUpdate)                \
    X(C_GenerateKey) X(C_GenerateKeyPair) X(C_WrapKey) X(C_UnwrapKey) X(C_DeriveKey) X(C_SeedRandom)                 \
    X(C_GenerateRandom) X(C_GetFunctionStatus) X(C_CancelFunction) X(C_WaitForSlotEvent)

typedef enum {
#define FAULT_NUMBER(name) FUNCTION_##name,
    FAULT_FUNCTIONS(FAULT_NUMBER)
#undef FAULT_NUMBER
    FUNCTION_COUNT,
    FUNCTION_ANY = FUNCTION_COUNT,
} fault_function;

// Bounds of the control file: a rehearsal needs few lines, and fixed tables need no memory management.
enum {
    MAXIMUM_LINE = 512,
    MAXIMUM_RULES = 64,
    MAXIMUM_NAMES = 16,
    MAXIMUM_PATH = 1024,
    MAXIMUM_CONTROL = 64 * 1024,
};

// What becomes of a call's output.
typedef enum { DAMAGE_NONE, DAMAGE_FLIP, DAMAGE_ZERO, DAMAGE_SHORTEN, DAMAGE_LENGTHEN, DAMAGE_CONSTANT, DAMAGE_REPEAT } fault_damage;
// How a call ends the process, or does not end at all.
typedef enum { STOP_NONE, STOP_HANG, STOP_CRASH, STOP_ABORT, STOP_KILL, STOP_EXIT } fault_stop;

typedef struct {
    char text[MAXIMUM_LINE];  // as written: what makes it the same rule when the file changes
    fault_function function;
    // When it applies, among the calls that match.
    unsigned long nth, every, count;
    unsigned percent;
    bool once;
    char label[128];
    bool has_mechanism;
    CK_MECHANISM_TYPE mechanism;
    // What it does.
    bool after;
    bool has_result;
    CK_RV result;
    unsigned long delay;  // microseconds
    fault_stop stop;
    int exit_status;
    fault_damage damage;
    bool swallow;
    CK_FLAGS flags;
    char serial[17];
    // How often it matched and fired in this process.
    unsigned long seen, fired;
} fault_rule;

typedef struct {
    char module[MAXIMUM_PATH];
    char trace[MAXIMUM_PATH];
    bool trace_labels;
    char storage[MAXIMUM_PATH];
    uint64_t seed;
    unsigned long session_limit;  // 0: none
    bool absent, renumber_objects, renumber_slots, reuse_handles, only_writing_sessions;
    CK_ATTRIBUTE_TYPE ignored[MAXIMUM_NAMES];
    int ignored_count;
    CK_MECHANISM_TYPE hidden[MAXIMUM_NAMES];
    int hidden_count;
    fault_rule rules[MAXIMUM_RULES];
    int rule_count;
} fault_settings;

// One call on its way through.
typedef struct {
    fault_function function;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE object;  // the real one
    bool has_mechanism;
    CK_MECHANISM_TYPE mechanism;
    bool answered;  // the real module is not asked
    CK_RV result;
    bool has_rule;
    fault_rule rule;  // the one that fired
    uint64_t started, random;
    struct fault_files *files;
} fault_call;

// names.c
const char *fault_function_name(fault_function function);
fault_function fault_function_named(const char *name);  // FUNCTION_ANY for "*", -1 when there is none
const char *fault_result_name(CK_RV result);            // NULL when it has none
bool fault_result_named(const char *name, CK_RV *result);
bool fault_attribute_named(const char *name, CK_ATTRIBUTE_TYPE *type);
bool fault_mechanism_named(const char *name, CK_MECHANISM_TYPE *type);
bool fault_flags_named(const char *names, CK_FLAGS *flags);

// parse.c: true, or the complaint in `problem`.
bool fault_parse(char *text, fault_settings *settings, char *problem, size_t size);

// control.c
extern const CK_FUNCTION_LIST *fault_real;       // the real module's functions, once loaded
CK_RV fault_load(void *reserved, char **rest);   // reads the control file and loads the real module
bool fault_refresh(void);                        // takes up a changed control file; under fault_lock
const char *fault_control_path(void);
extern fault_settings *fault_now;                // what holds now; under fault_lock
void fault_lock(void);
void fault_unlock(void);
bool fault_is_hidden(CK_MECHANISM_TYPE mechanism);
bool fault_is_ignored(CK_ATTRIBUTE_TYPE type);

// rules.c
fault_call fault_begin(
    fault_function function, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, const CK_MECHANISM *mechanism);
CK_RV fault_end(fault_call *call);
uint64_t fault_random(uint64_t *state);  // SplitMix64

// handles.c
void fault_forget_handles(void);                 // a new initialisation
bool fault_opened(CK_SESSION_HANDLE session);    // false when the table is full
void fault_closed(CK_SESSION_HANDLE session);
void fault_closed_all(void);
unsigned long fault_open_sessions(void);
void fault_remove_token(void);                   // all sessions die with it; under fault_lock
bool fault_is_dead(CK_SESSION_HANDLE session);
void fault_note_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, const CK_MECHANISM *mechanism);
bool fault_noted_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *object, CK_MECHANISM_TYPE *mechanism);
CK_OBJECT_HANDLE fault_shown_object(CK_OBJECT_HANDLE real);
CK_OBJECT_HANDLE fault_shown_key(CK_OBJECT_HANDLE real);  // of a key that was just made
CK_OBJECT_HANDLE fault_real_object(CK_OBJECT_HANDLE shown);
CK_SLOT_ID fault_swapped_slot(CK_SLOT_ID slot);  // shown from real, and real from shown
void fault_label(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, char *label, size_t size);

// damage.c
void fault_rewind_stream(uint64_t seed);  // what corrupt=repeat gives begins anew
void fault_damage_output(fault_call *call, void *output, CK_ULONG *length);
struct fault_files *fault_files_before(const char *storage);
void fault_empty_changed(const char *storage, struct fault_files *before);
CK_ATTRIBUTE *fault_without_ignored(const CK_ATTRIBUTE *attributes, CK_ULONG *count);

// trace.c
void fault_trace(const fault_call *call);
void fault_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fault_reopen_trace(void);  // under fault_lock
uint64_t fault_now_us(void);

// session_calls.c and key_calls.c
extern CK_FUNCTION_LIST fault_list;
void fault_fill_key_calls(void);

#pragma GCC visibility pop
