#define _GNU_SOURCE
#include "fault.h"

#include <stdlib.h>
#include <string.h>

// The module's functions that use keys.

#define FORWARD(call, expression) \
    do {                          \
        if (!(call).answered) (call).result = fault_real != NULL ? (expression) : CKR_CRYPTOKI_NOT_INITIALIZED; \
    } while (0)

// C_EncryptInit and its like: a key is chosen for what follows.
static CK_RV choose(
    fault_function function, CK_RV (*real)(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE), CK_SESSION_HANDLE session,
    CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key) {
    CK_OBJECT_HANDLE object = fault_real_object(key);
    fault_call call = fault_begin(function, session, object, mechanism);
    if (!call.answered && mechanism != NULL && fault_is_hidden(mechanism->mechanism)) {
        call.answered = true;
        call.result = CKR_MECHANISM_INVALID;
    }
    FORWARD(call, real(session, mechanism, object));
    if (call.result == CKR_OK) fault_note_key(session, object, mechanism);
    return fault_end(&call);
}

// An operation ends with the first error (PKCS#11 v2.40 section 5.2), so the one that the real module has begun must end too:
// its result goes nowhere.
static void end_operation(
    const fault_call *call, CK_RV (*real)(CK_SESSION_HANDLE, unsigned char *, CK_ULONG, unsigned char *, CK_ULONG *),
    CK_SESSION_HANDLE session, unsigned char *input, CK_ULONG length) {
    const CK_ULONG room = length + 16 * 1024;
    if (!call->answered || call->result == CKR_OK || call->result == CKR_BUFFER_TOO_SMALL || real == NULL) return;
    if (fault_is_dead(session)) return;
    unsigned char *scratch = malloc(room);
    CK_ULONG written = room;
    if (scratch == NULL) return;
    (void)real(session, input, length, scratch, &written);
    explicit_bzero(scratch, room);
    free(scratch);
}

// C_Encrypt and its like: input, output.
static CK_RV transform(
    fault_function function, CK_RV (*real)(CK_SESSION_HANDLE, unsigned char *, CK_ULONG, unsigned char *, CK_ULONG *),
    CK_SESSION_HANDLE session, unsigned char *input, CK_ULONG input_length, unsigned char *output, CK_ULONG *output_length) {
    fault_call call = fault_begin(function, session, 0, NULL);
    FORWARD(call, real(session, input, input_length, output, output_length));
    end_operation(&call, real, session, input, input_length);
    fault_damage_output(&call, output, output_length);
    return fault_end(&call);
}

// C_EncryptFinal and its like: output alone.
static CK_RV conclude(
    fault_function function, CK_RV (*real)(CK_SESSION_HANDLE, unsigned char *, CK_ULONG *), CK_SESSION_HANDLE session,
    unsigned char *output, CK_ULONG *output_length) {
    fault_call call = fault_begin(function, session, 0, NULL);
    FORWARD(call, real(session, output, output_length));
    fault_damage_output(&call, output, output_length);
    return fault_end(&call);
}

// C_DigestUpdate and its like: input alone.
static CK_RV feed(
    fault_function function, CK_RV (*real)(CK_SESSION_HANDLE, unsigned char *, CK_ULONG), CK_SESSION_HANDLE session,
    unsigned char *input, CK_ULONG length) {
    fault_call call = fault_begin(function, session, 0, NULL);
    FORWARD(call, real(session, input, length));
    return fault_end(&call);
}

#define CHOOSE(name)                                                                                                  \
    static CK_RV name(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key) {                      \
        return choose(FUNCTION_C_##name, fault_real == NULL ? NULL : fault_real->C_##name, session, mechanism, key);   \
    }
#define TRANSFORM(name)                                                                                               \
    static CK_RV name(                                                                                                \
        CK_SESSION_HANDLE session, unsigned char *input, CK_ULONG input_length, unsigned char *output,                 \
        CK_ULONG *output_length) {                                                                                    \
        return transform(                                                                                             \
            FUNCTION_C_##name, fault_real == NULL ? NULL : fault_real->C_##name, session, input, input_length, output, \
            output_length);                                                                                           \
    }
#define CONCLUDE(name)                                                                                                \
    static CK_RV name(CK_SESSION_HANDLE session, unsigned char *output, CK_ULONG *output_length) {                     \
        return conclude(                                                                                              \
            FUNCTION_C_##name, fault_real == NULL ? NULL : fault_real->C_##name, session, output, output_length);      \
    }
#define FEED(name)                                                                                                    \
    static CK_RV name(CK_SESSION_HANDLE session, unsigned char *input, CK_ULONG length) {                              \
        return feed(FUNCTION_C_##name, fault_real == NULL ? NULL : fault_real->C_##name, session, input, length);      \
    }

CHOOSE(EncryptInit)
TRANSFORM(Encrypt)
TRANSFORM(EncryptUpdate)
CONCLUDE(EncryptFinal)
CHOOSE(DecryptInit)
TRANSFORM(Decrypt)
TRANSFORM(DecryptUpdate)
CONCLUDE(DecryptFinal)
TRANSFORM(Digest)
FEED(DigestUpdate)
CONCLUDE(DigestFinal)
CHOOSE(SignInit)
TRANSFORM(Sign)
FEED(SignUpdate)
CONCLUDE(SignFinal)
CHOOSE(SignRecoverInit)
TRANSFORM(SignRecover)
CHOOSE(VerifyInit)
FEED(VerifyUpdate)
FEED(VerifyFinal)
CHOOSE(VerifyRecoverInit)
TRANSFORM(VerifyRecover)
TRANSFORM(DigestEncryptUpdate)
TRANSFORM(DecryptDigestUpdate)
TRANSFORM(SignEncryptUpdate)
TRANSFORM(DecryptVerifyUpdate)
FEED(SeedRandom)

static CK_RV DigestInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism) {
    fault_call call = fault_begin(FUNCTION_C_DigestInit, session, 0, mechanism);
    FORWARD(call, fault_real->C_DigestInit(session, mechanism));
    return fault_end(&call);
}

static CK_RV DigestKey(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key) {
    CK_OBJECT_HANDLE object = fault_real_object(key);
    fault_call call = fault_begin(FUNCTION_C_DigestKey, session, object, NULL);
    FORWARD(call, fault_real->C_DigestKey(session, object));
    return fault_end(&call);
}

static CK_RV Verify(
    CK_SESSION_HANDLE session, unsigned char *data, CK_ULONG length, unsigned char *signature, CK_ULONG signature_length) {
    fault_call call = fault_begin(FUNCTION_C_Verify, session, 0, NULL);
    if (call.answered && fault_real != NULL && call.result != CKR_OK && !fault_is_dead(session)) {
        (void)fault_real->C_Verify(session, data, length, signature, signature_length);
    }
    FORWARD(call, fault_real->C_Verify(session, data, length, signature, signature_length));
    return fault_end(&call);
}

// What makes a key, with a template from which the token leaves out what it ignores.
static bool is_refused(fault_call *call, const CK_MECHANISM *mechanism) {
    if (call->answered || mechanism == NULL || !fault_is_hidden(mechanism->mechanism)) return false;
    call->answered = true;
    call->result = CKR_MECHANISM_INVALID;
    return true;
}

static CK_ATTRIBUTE *reduced(CK_ATTRIBUTE *attributes, CK_ULONG *count) {
    return attributes == NULL ? NULL : fault_without_ignored(attributes, count);
}

static void show(const fault_call *call, CK_OBJECT_HANDLE *object) {
    if (call->result == CKR_OK && !call->answered && object != NULL) *object = fault_shown_object(*object);
}

static CK_RV GenerateKey(
    CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *key) {
    fault_call call = fault_begin(FUNCTION_C_GenerateKey, session, 0, mechanism);
    (void)is_refused(&call, mechanism);
    CK_ATTRIBUTE *copy = reduced(template, &count);
    FORWARD(call, fault_real->C_GenerateKey(session, mechanism, copy != NULL ? copy : template, count, key));
    free(copy);
    if (call.result == CKR_OK && !call.answered && key != NULL) *key = fault_shown_key(*key);
    return fault_end(&call);
}

static CK_RV GenerateKeyPair(
    CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public, CK_ULONG public_count, CK_ATTRIBUTE *private,
    CK_ULONG private_count, CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key) {
    fault_call call = fault_begin(FUNCTION_C_GenerateKeyPair, session, 0, mechanism);
    (void)is_refused(&call, mechanism);
    CK_ATTRIBUTE *first = reduced(public, &public_count);
    CK_ATTRIBUTE *second = reduced(private, &private_count);
    FORWARD(
        call, fault_real->C_GenerateKeyPair(
                  session, mechanism, first != NULL ? first : public, public_count, second != NULL ? second : private,
                  private_count, public_key, private_key));
    free(first);
    free(second);
    show(&call, public_key);
    show(&call, private_key);
    return fault_end(&call);
}

static CK_RV WrapKey(
    CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE wrapping, CK_OBJECT_HANDLE key,
    unsigned char *wrapped, CK_ULONG *length) {
    CK_OBJECT_HANDLE object = fault_real_object(wrapping);
    fault_call call = fault_begin(FUNCTION_C_WrapKey, session, object, mechanism);
    (void)is_refused(&call, mechanism);
    FORWARD(call, fault_real->C_WrapKey(session, mechanism, object, fault_real_object(key), wrapped, length));
    fault_damage_output(&call, wrapped, length);
    return fault_end(&call);
}

static CK_RV UnwrapKey(
    CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE unwrapping, unsigned char *wrapped,
    CK_ULONG wrapped_length, CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *key) {
    CK_OBJECT_HANDLE object = fault_real_object(unwrapping);
    fault_call call = fault_begin(FUNCTION_C_UnwrapKey, session, object, mechanism);
    (void)is_refused(&call, mechanism);
    CK_ATTRIBUTE *copy = reduced(template, &count);
    FORWARD(
        call, fault_real->C_UnwrapKey(
                  session, mechanism, object, wrapped, wrapped_length, copy != NULL ? copy : template, count, key));
    free(copy);
    show(&call, key);
    return fault_end(&call);
}

static CK_RV DeriveKey(
    CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE base, CK_ATTRIBUTE *template, CK_ULONG count,
    CK_OBJECT_HANDLE *key) {
    CK_OBJECT_HANDLE object = fault_real_object(base);
    fault_call call = fault_begin(FUNCTION_C_DeriveKey, session, object, mechanism);
    (void)is_refused(&call, mechanism);
    CK_ATTRIBUTE *copy = reduced(template, &count);
    FORWARD(call, fault_real->C_DeriveKey(session, mechanism, object, copy != NULL ? copy : template, count, key));
    free(copy);
    show(&call, key);
    return fault_end(&call);
}

static CK_RV GenerateRandom(CK_SESSION_HANDLE session, unsigned char *output, CK_ULONG count) {
    fault_call call = fault_begin(FUNCTION_C_GenerateRandom, session, 0, NULL);
    FORWARD(call, fault_real->C_GenerateRandom(session, output, count));
    fault_damage_output(&call, output, &count);
    return fault_end(&call);
}

void fault_fill_key_calls(void) {
#define FILL(name) fault_list.C_##name = name;
    FILL(EncryptInit) FILL(Encrypt) FILL(EncryptUpdate) FILL(EncryptFinal) FILL(DecryptInit) FILL(Decrypt)
    FILL(DecryptUpdate) FILL(DecryptFinal) FILL(DigestInit) FILL(Digest) FILL(DigestUpdate) FILL(DigestKey)
    FILL(DigestFinal) FILL(SignInit) FILL(Sign) FILL(SignUpdate) FILL(SignFinal) FILL(SignRecoverInit) FILL(SignRecover)
    FILL(VerifyInit) FILL(Verify) FILL(VerifyUpdate) FILL(VerifyFinal) FILL(VerifyRecoverInit) FILL(VerifyRecover)
    FILL(DigestEncryptUpdate) FILL(DecryptDigestUpdate) FILL(SignEncryptUpdate) FILL(DecryptVerifyUpdate)
    FILL(GenerateKey) FILL(GenerateKeyPair) FILL(WrapKey) FILL(UnwrapKey) FILL(DeriveKey) FILL(SeedRandom)
    FILL(GenerateRandom)
#undef FILL
}
