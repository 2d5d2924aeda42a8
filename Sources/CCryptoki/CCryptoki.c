#define _GNU_SOURCE
#include "CCryptoki.h"

#include <stdlib.h>
#include <string.h>

// Calls a member of the provider's list; a member it leaves empty is "not supported", never a jump to address zero.
#define CALL(module, function, ...) \
    (list(module)->function != NULL ? list(module)->function(__VA_ARGS__) : CKR_FUNCTION_NOT_SUPPORTED)

static const CK_FUNCTION_LIST *list(const cryptoki_module *module) { return (const CK_FUNCTION_LIST *)module; }

// Providers refuse a NULL pointer even where the length is zero, and take a NULL output for a question about its size.
static unsigned char nothing[1];

static unsigned char *input_bytes(const void *bytes) { return bytes != NULL ? (unsigned char *)bytes : nothing; }

const cryptoki_module *cryptoki_load(const char *path) {
    return (const cryptoki_module *)p11_kit_module_load(path, P11_KIT_MODULE_UNMANAGED);
}

const char *cryptoki_load_message(void) { return p11_kit_message(); }

CK_VERSION cryptoki_version(const cryptoki_module *module) { return list(module)->version; }

CK_RV cryptoki_initialize(const cryptoki_module *module, const char *reserved) {
    CK_C_INITIALIZE_ARGS arguments = {NULL, NULL, NULL, NULL, CKF_OS_LOCKING_OK, (void *)reserved};
    return CALL(module, C_Initialize, &arguments);
}

CK_RV cryptoki_finalize(const cryptoki_module *module) { return CALL(module, C_Finalize, NULL); }

CK_RV cryptoki_get_info(const cryptoki_module *module, CK_INFO *info) { return CALL(module, C_GetInfo, info); }

CK_RV cryptoki_get_slot_list(const cryptoki_module *module, CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count) {
    return CALL(module, C_GetSlotList, present, slots, count);
}

CK_RV cryptoki_get_slot_info(const cryptoki_module *module, CK_SLOT_ID slot, CK_SLOT_INFO *info) {
    return CALL(module, C_GetSlotInfo, slot, info);
}

CK_RV cryptoki_get_token_info(const cryptoki_module *module, CK_SLOT_ID slot, CK_TOKEN_INFO *info) {
    return CALL(module, C_GetTokenInfo, slot, info);
}

CK_RV cryptoki_get_mechanism_list(
    const cryptoki_module *module, CK_SLOT_ID slot, CK_MECHANISM_TYPE *mechanisms, CK_ULONG *count) {
    return CALL(module, C_GetMechanismList, slot, mechanisms, count);
}

CK_RV cryptoki_get_mechanism_info(
    const cryptoki_module *module, CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info) {
    return CALL(module, C_GetMechanismInfo, slot, type, info);
}

CK_RV cryptoki_init_token(
    const cryptoki_module *module, CK_SLOT_ID slot, const void *pin, CK_ULONG pin_length, const void *label) {
    return CALL(module, C_InitToken, slot, input_bytes(pin), pin_length, (unsigned char *)label);
}

CK_RV cryptoki_init_pin(const cryptoki_module *module, CK_SESSION_HANDLE session, const void *pin, CK_ULONG pin_length) {
    return CALL(module, C_InitPIN, session, input_bytes(pin), pin_length);
}

CK_RV cryptoki_set_pin(
    const cryptoki_module *module, CK_SESSION_HANDLE session, const void *old_pin, CK_ULONG old_length, const void *new_pin,
    CK_ULONG new_length) {
    return CALL(module, C_SetPIN, session, input_bytes(old_pin), old_length, input_bytes(new_pin), new_length);
}

CK_RV cryptoki_open_session(
    const cryptoki_module *module, CK_SLOT_ID slot, CK_FLAGS flags, CK_SESSION_HANDLE *session) {
    return CALL(module, C_OpenSession, slot, flags | CKF_SERIAL_SESSION, NULL, NULL, session);
}

CK_RV cryptoki_close_session(const cryptoki_module *module, CK_SESSION_HANDLE session) {
    return CALL(module, C_CloseSession, session);
}

CK_RV cryptoki_get_session_info(const cryptoki_module *module, CK_SESSION_HANDLE session, CK_SESSION_INFO *info) {
    return CALL(module, C_GetSessionInfo, session, info);
}

CK_RV cryptoki_login(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_USER_TYPE user, const void *pin, CK_ULONG pin_length) {
    return CALL(module, C_Login, session, user, (unsigned char *)pin, pin_length);
}

CK_RV cryptoki_logout(const cryptoki_module *module, CK_SESSION_HANDLE session) { return CALL(module, C_Logout, session); }

CK_RV cryptoki_create_object(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG count,
    CK_OBJECT_HANDLE *object) {
    return CALL(module, C_CreateObject, session, template, count, object);
}

CK_RV cryptoki_destroy_object(const cryptoki_module *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object) {
    return CALL(module, C_DestroyObject, session, object);
}

CK_RV cryptoki_get_attributes(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes,
    CK_ULONG count) {
    return CALL(module, C_GetAttributeValue, session, object, attributes, count);
}

CK_RV cryptoki_find_objects_init(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG count) {
    return CALL(module, C_FindObjectsInit, session, template, count);
}

CK_RV cryptoki_find_objects(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG capacity,
    CK_ULONG *count) {
    return CALL(module, C_FindObjects, session, objects, capacity, count);
}

CK_RV cryptoki_find_objects_final(const cryptoki_module *module, CK_SESSION_HANDLE session) {
    return CALL(module, C_FindObjectsFinal, session);
}

CK_RV cryptoki_set_attributes(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template,
    CK_ULONG count) {
    return CALL(module, C_SetAttributeValue, session, object, template, count);
}

CK_RV cryptoki_copy_object(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template,
    CK_ULONG count, CK_OBJECT_HANDLE *copy) {
    return CALL(module, C_CopyObject, session, object, template, count, copy);
}

// C_EncryptInit, C_DecryptInit and C_SignInit have one type, and so have C_Encrypt, C_Decrypt and C_Sign.
typedef CK_RV (*beginning)(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE);
typedef CK_RV (*operation)(CK_SESSION_HANDLE, unsigned char *, CK_ULONG, unsigned char *, CK_ULONG *);

// Room beyond the input for any padding, tag or signature; a provider that asks for more than a megabyte is not believed.
enum { SCRATCH_MARGIN = 16 * 1024, SCRATCH_LIMIT = 1024 * 1024 };

// Ends an operation that CKR_BUFFER_TOO_SMALL left active, by running it into a scratch buffer. C_*Init with a NULL mechanism
// would be the way of PKCS#11 3.0, but 2.x providers refuse it and some dereference the pointer.
static void finish(
    operation operate, CK_SESSION_HANDLE session, const void *input, CK_ULONG input_length, CK_ULONG wanted) {
    CK_ULONG extra = wanted > input_length ? wanted - input_length : 0;
    CK_ULONG size = input_length + SCRATCH_MARGIN + (extra <= SCRATCH_LIMIT ? extra : 0);
    unsigned char *scratch = malloc(size);
    if (scratch == NULL) return;
    CK_ULONG length = size;
    (void)operate(session, input_bytes(input), input_length, scratch, &length);
    explicit_bzero(scratch, size);
    free(scratch);
}

static CK_RV single_part(
    beginning begin, operation operate, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
    const void *input, CK_ULONG input_length, void *output, CK_ULONG *output_length, int *begun) {
    *begun = 0;
    if (begin == NULL || operate == NULL) return CKR_FUNCTION_NOT_SUPPORTED;
    CK_ULONG capacity = *output_length;
    CK_RV result = begin(session, mechanism, key);
    if (result != CKR_OK) return result;
    *begun = 1;
    unsigned char none[1];
    result = operate(session, input_bytes(input), input_length, output != NULL ? output : none, output_length);
    if (result == CKR_OK) return result;
    if (result == CKR_BUFFER_TOO_SMALL) finish(operate, session, input, input_length, *output_length);
    if (output != NULL) explicit_bzero(output, capacity);  // a provider may write plaintext before it checks the tag
    return result;
}

CK_RV cryptoki_encrypt(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
    const void *input, CK_ULONG input_length, void *output, CK_ULONG *output_length, int *begun) {
    return single_part(
        list(module)->C_EncryptInit, list(module)->C_Encrypt, session, mechanism, key, input, input_length, output,
        output_length, begun);
}

CK_RV cryptoki_decrypt(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
    const void *input, CK_ULONG input_length, void *output, CK_ULONG *output_length, int *begun) {
    return single_part(
        list(module)->C_DecryptInit, list(module)->C_Decrypt, session, mechanism, key, input, input_length, output,
        output_length, begun);
}

CK_RV cryptoki_sign(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
    const void *input, CK_ULONG input_length, void *output, CK_ULONG *output_length, int *begun) {
    return single_part(
        list(module)->C_SignInit, list(module)->C_Sign, session, mechanism, key, input, input_length, output, output_length,
        begun);
}

CK_RV cryptoki_verify(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
    const void *input, CK_ULONG input_length, const void *signature, CK_ULONG signature_length, int *begun) {
    *begun = 0;
    if (list(module)->C_Verify == NULL) return CKR_FUNCTION_NOT_SUPPORTED;
    CK_RV result = CALL(module, C_VerifyInit, session, mechanism, key);
    if (result != CKR_OK) return result;
    *begun = 1;
    return CALL(
        module, C_Verify, session, input_bytes(input), input_length, input_bytes(signature), signature_length);
}

CK_RV cryptoki_generate_key(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *template,
    CK_ULONG count, CK_OBJECT_HANDLE *key) {
    return CALL(module, C_GenerateKey, session, mechanism, template, count, key);
}

CK_RV cryptoki_generate_key_pair(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public_template,
    CK_ULONG public_count, CK_ATTRIBUTE *private_template, CK_ULONG private_count, CK_OBJECT_HANDLE *public_key,
    CK_OBJECT_HANDLE *private_key) {
    return CALL(
        module, C_GenerateKeyPair, session, mechanism, public_template, public_count, private_template, private_count,
        public_key, private_key);
}

CK_RV cryptoki_wrap_key(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE wrapping_key,
    CK_OBJECT_HANDLE key, void *output, CK_ULONG *output_length) {
    CK_ULONG capacity = *output_length;
    unsigned char none[1];
    CK_RV result = CALL(
        module, C_WrapKey, session, mechanism, wrapping_key, key, output != NULL ? output : none, output_length);
    if (result != CKR_OK && output != NULL) explicit_bzero(output, capacity);
    return result;
}

CK_RV cryptoki_unwrap_key(
    const cryptoki_module *module, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE unwrapping_key,
    const void *wrapped, CK_ULONG wrapped_length, CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *key) {
    return CALL(
        module, C_UnwrapKey, session, mechanism, unwrapping_key, input_bytes(wrapped), wrapped_length, template, count, key);
}

CK_RV cryptoki_generate_random(const cryptoki_module *module, CK_SESSION_HANDLE session, void *output, CK_ULONG count) {
    return CALL(module, C_GenerateRandom, session, output, count);
}
