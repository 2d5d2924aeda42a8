#pragma once
// PKCS#11 (Cryptoki) as flat, typed C functions over exactly one provider: one C_* call a function, except the single-part
// operations, which join C_*Init with the operation so that nothing stays active between calls.
// No policy and no state of its own. The only state is the loaded module, which is never unloaded.
// A function that the provider leaves out of its list answers CKR_FUNCTION_NOT_SUPPORTED.
#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>

/// The provider's function list; opaque, immutable, valid until the process ends.
typedef struct cryptoki_module cryptoki_module;

/// Loads the provider at an absolute path, unmanaged: initialising and finalising remain the caller's. NULL on failure; the
/// reason is then in cryptoki_load_message() until the thread's next call.
const cryptoki_module *cryptoki_load(const char *path);
/// Why the last cryptoki_load() of this thread failed.
const char *cryptoki_load_message(void);
/// The version of Cryptoki that the provider's function list has.
CK_VERSION cryptoki_version(const cryptoki_module *module);

// General purpose, PKCS#11 v2.40 section 5.4.
/// C_Initialize with CKF_OS_LOCKING_OK; `reserved` goes to pReserved and may be NULL.
CK_RV cryptoki_initialize(const cryptoki_module *module, const char *reserved);
CK_RV cryptoki_finalize(const cryptoki_module *module);
CK_RV cryptoki_get_info(const cryptoki_module *module, CK_INFO *info);

// Slots and tokens, section 5.5. A list of NULL asks for the count.
CK_RV cryptoki_get_slot_list(const cryptoki_module *module, CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count);
CK_RV cryptoki_get_slot_info(const cryptoki_module *module, CK_SLOT_ID slot, CK_SLOT_INFO *info);
CK_RV cryptoki_get_token_info(const cryptoki_module *module, CK_SLOT_ID slot, CK_TOKEN_INFO *info);
CK_RV cryptoki_get_mechanism_list(
    const cryptoki_module *module, CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count);
CK_RV cryptoki_get_mechanism_info(
    const cryptoki_module *module, CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info);
/// `label` is 32 bytes, padded with blanks.
CK_RV cryptoki_init_token(
    const cryptoki_module *module, CK_SLOT_ID slot, const void *pin, CK_ULONG pin_length, const void *label);
CK_RV cryptoki_init_pin(const cryptoki_module *module, CK_SESSION_HANDLE session, const void *pin, CK_ULONG pin_length);
CK_RV cryptoki_set_pin(
    const cryptoki_module *module, CK_SESSION_HANDLE session, const void *old_pin, CK_ULONG old_length, const void *new_pin,
    CK_ULONG new_length);

// Sessions, section 5.6.
/// C_OpenSession with CKF_SERIAL_SESSION and `flags`, without a notification callback.
CK_RV cryptoki_open_session(
    const cryptoki_module *module, CK_SLOT_ID slot, CK_FLAGS flags, CK_SESSION_HANDLE *session);
CK_RV cryptoki_close_session(const cryptoki_module *module, CK_SESSION_HANDLE session);
CK_RV cryptoki_get_session_info(const cryptoki_module *module, CK_SESSION_HANDLE session, CK_SESSION_INFO *info);
/// `pin` NULL: the token reads the PIN itself (CKF_PROTECTED_AUTHENTICATION_PATH).
CK_RV cryptoki_login(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_USER_TYPE user, const void *pin, CK_ULONG pin_length);
CK_RV cryptoki_logout(const cryptoki_module *module, CK_SESSION_HANDLE session);

// Objects, section 5.7.
CK_RV cryptoki_create_object(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG count,
    CK_OBJECT_HANDLE *object);
CK_RV cryptoki_destroy_object(const cryptoki_module *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object);
CK_RV cryptoki_get_attributes(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes,
    CK_ULONG count);
CK_RV cryptoki_find_objects_init(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG count);
CK_RV cryptoki_find_objects(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG capacity,
    CK_ULONG *count);
CK_RV cryptoki_find_objects_final(const cryptoki_module *module, CK_SESSION_HANDLE session);
/// Here only so that tests can try what an attacker with the PIN would try. The Swift module does not offer it: on file-based
/// tokens an interrupted C_SetAttributeValue loses the key.
CK_RV cryptoki_set_attributes(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template,
    CK_ULONG count);
/// Here only for the same tests: tokens disagree on what a copy is (some make an alias of the original).
CK_RV cryptoki_copy_object(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template,
    CK_ULONG count, CK_OBJECT_HANDLE *copy);

// Single-part operations, sections 5.8, 5.9, 5.11 and 5.12: C_*Init and the operation in one call.
// `begun` becomes 1 once C_*Init has succeeded, so an error with `begun` 1 comes from the operation itself.
// `output_length` is the buffer's size before, the result's after. When the operation fails the output is wiped and, where the
// provider keeps it active (CKR_BUFFER_TOO_SMALL), it is run to its end, so that the session takes the next one.
CK_RV cryptoki_encrypt(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
    const void *input, CK_ULONG input_length, void *output, CK_ULONG *output_length, int *begun);
CK_RV cryptoki_decrypt(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
    const void *input, CK_ULONG input_length, void *output, CK_ULONG *output_length, int *begun);
CK_RV cryptoki_sign(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
    const void *input, CK_ULONG input_length, void *output, CK_ULONG *output_length, int *begun);
CK_RV cryptoki_verify(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
    const void *input, CK_ULONG input_length, const void *signature, CK_ULONG signature_length, int *begun);

// Keys, section 5.14.
CK_RV cryptoki_generate_key(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *template,
    CK_ULONG count, CK_OBJECT_HANDLE *key);
CK_RV cryptoki_generate_key_pair(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public_template,
    CK_ULONG public_count, CK_ATTRIBUTE *private_template, CK_ULONG private_count, CK_OBJECT_HANDLE *public_key,
    CK_OBJECT_HANDLE *private_key);
/// On failure the output is wiped.
CK_RV cryptoki_wrap_key(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE wrapping_key,
    CK_OBJECT_HANDLE key, void *output, CK_ULONG *output_length);
CK_RV cryptoki_unwrap_key(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE unwrapping_key,
    const void *wrapped, CK_ULONG wrapped_length, CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *key);

// Random numbers, section 5.15.
CK_RV cryptoki_generate_random(const cryptoki_module *module, CK_SESSION_HANDLE session, void *output, CK_ULONG count);
