#define _GNU_SOURCE
#include "fault.h"

#include <stdlib.h>
#include <string.h>

// The module's functions: general purpose, slots, sessions and objects. Each asks the rules, then the real module, then the rules.

// Runs one call: CALL(begin arguments; expression of the real module's answer).
#define FORWARD(call, expression) \
    do {                          \
        if (!(call).answered) (call).result = fault_real != NULL ? (expression) : CKR_CRYPTOKI_NOT_INITIALIZED; \
    } while (0)

static fault_call begin(fault_function function, CK_SESSION_HANDLE session) { return fault_begin(function, session, 0, NULL); }

static CK_RV initialize(void *arguments) {
    CK_C_INITIALIZE_ARGS copy = {0};
    void *reserved = NULL;
    if (arguments != NULL) {
        copy = *(CK_C_INITIALIZE_ARGS *)arguments;
        reserved = copy.pReserved;
    }
    char *rest;
    CK_RV loaded = fault_load(reserved, &rest);
    if (loaded != CKR_OK) return loaded;
    fault_call call = begin(FUNCTION_C_Initialize, 0);
    copy.pReserved = rest;
    FORWARD(call, fault_real->C_Initialize(arguments == NULL ? NULL : &copy));
    if (call.result == CKR_OK) {
        fault_lock();
        fault_rewind_stream(fault_now->seed);
        fault_unlock();
        fault_forget_handles();
    }
    return fault_end(&call);
}

static CK_RV finalize(void *reserved) {
    fault_call call = begin(FUNCTION_C_Finalize, 0);
    FORWARD(call, fault_real->C_Finalize(reserved));
    return fault_end(&call);
}

static CK_RV get_info(CK_INFO *info) {
    fault_call call = begin(FUNCTION_C_GetInfo, 0);
    FORWARD(call, fault_real->C_GetInfo(info));
    return fault_end(&call);
}

static CK_RV get_function_list(CK_FUNCTION_LIST **list) { return C_GetFunctionList(list); }

static bool is_absent(void) {
    fault_lock();
    bool absent = fault_now != NULL && fault_now->absent;
    fault_unlock();
    return absent;
}

static void turn_slots(CK_SLOT_ID *slots, CK_ULONG count) {
    if (count == 0 || fault_swapped_slot(slots[0]) == slots[0]) return;
    for (CK_ULONG index = 0; index < count - index; index++) {
        CK_SLOT_ID other = slots[count - 1 - index];
        slots[count - 1 - index] = fault_swapped_slot(slots[index]);
        if (count - 1 - index != index) slots[index] = fault_swapped_slot(other);
    }
}

static CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count) {
    fault_call call = begin(FUNCTION_C_GetSlotList, 0);
    if (!call.answered && present && is_absent() && count != NULL) {
        *count = 0;
        call.answered = true;
    }
    FORWARD(call, fault_real->C_GetSlotList(present, slots, count));
    if (call.result == CKR_OK && slots != NULL) turn_slots(slots, *count);
    return fault_end(&call);
}

static CK_RV get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info) {
    fault_call call = begin(FUNCTION_C_GetSlotInfo, 0);
    FORWARD(call, fault_real->C_GetSlotInfo(fault_swapped_slot(slot), info));
    if (call.result == CKR_OK && is_absent()) info->flags &= ~(CK_FLAGS)CKF_TOKEN_PRESENT;
    return fault_end(&call);
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info) {
    fault_call call = begin(FUNCTION_C_GetTokenInfo, 0);
    FORWARD(call, fault_real->C_GetTokenInfo(fault_swapped_slot(slot), info));
    if (call.result == CKR_OK && call.has_rule) {
        info->flags |= call.rule.flags;
        if (call.rule.serial[0] != 0) {
            memset(info->serialNumber, ' ', sizeof info->serialNumber);
            memcpy(info->serialNumber, call.rule.serial, strlen(call.rule.serial));
        }
    }
    if (call.result == CKR_OK) {
        fault_lock();
        if (fault_now->session_limit > 0) info->ulMaxSessionCount = fault_now->session_limit;
        fault_unlock();
    }
    return fault_end(&call);
}

static CK_RV wait_for_slot_event(CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved) {
    fault_call call = begin(FUNCTION_C_WaitForSlotEvent, 0);
    FORWARD(call, fault_real->C_WaitForSlotEvent(flags, slot, reserved));
    if (call.result == CKR_OK) *slot = fault_swapped_slot(*slot);
    return fault_end(&call);
}

static CK_RV get_mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count) {
    fault_call call = begin(FUNCTION_C_GetMechanismList, 0);
    FORWARD(call, fault_real->C_GetMechanismList(fault_swapped_slot(slot), list, count));
    if (call.result == CKR_OK && list != NULL) {
        CK_ULONG kept = 0;
        for (CK_ULONG index = 0; index < *count; index++) {
            if (!fault_is_hidden(list[index])) list[kept++] = list[index];
        }
        *count = kept;
    }
    return fault_end(&call);
}

static CK_RV get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info) {
    fault_call call = begin(FUNCTION_C_GetMechanismInfo, 0);
    FORWARD(
        call, fault_is_hidden(type) ? CKR_MECHANISM_INVALID
                                    : fault_real->C_GetMechanismInfo(fault_swapped_slot(slot), type, info));
    return fault_end(&call);
}

static CK_RV init_token(CK_SLOT_ID slot, unsigned char *pin, CK_ULONG length, unsigned char *label) {
    fault_call call = begin(FUNCTION_C_InitToken, 0);
    FORWARD(call, fault_real->C_InitToken(fault_swapped_slot(slot), pin, length, label));
    return fault_end(&call);
}

static CK_RV init_pin(CK_SESSION_HANDLE session, unsigned char *pin, CK_ULONG length) {
    fault_call call = begin(FUNCTION_C_InitPIN, session);
    FORWARD(call, fault_real->C_InitPIN(session, pin, length));
    return fault_end(&call);
}

static CK_RV set_pin(
    CK_SESSION_HANDLE session, unsigned char *old, CK_ULONG old_length, unsigned char *new, CK_ULONG new_length) {
    fault_call call = begin(FUNCTION_C_SetPIN, session);
    FORWARD(call, fault_real->C_SetPIN(session, old, old_length, new, new_length));
    return fault_end(&call);
}

static CK_RV open_session(
    CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE *session) {
    fault_call call = begin(FUNCTION_C_OpenSession, 0);
    fault_lock();
    unsigned long limit = fault_now != NULL ? fault_now->session_limit : 0;
    bool only_writing = fault_now != NULL && fault_now->only_writing_sessions;
    fault_unlock();
    if (!call.answered && only_writing && (flags & CKF_RW_SESSION) == 0) {
        call.answered = true;
        call.result = CKR_FUNCTION_FAILED;
    }
    if (!call.answered && limit > 0 && fault_open_sessions() >= limit) {
        call.answered = true;
        call.result = CKR_SESSION_COUNT;
    }
    FORWARD(call, fault_real->C_OpenSession(fault_swapped_slot(slot), flags, application, notify, session));
    if (call.result == CKR_OK && !call.answered && !fault_opened(*session)) {
        (void)fault_real->C_CloseSession(*session);
        call.result = CKR_SESSION_COUNT;
    }
    if (call.result == CKR_OK && !call.answered) call.session = *session;
    return fault_end(&call);
}

static CK_RV close_session(CK_SESSION_HANDLE session) {
    fault_call call = begin(FUNCTION_C_CloseSession, session);
    FORWARD(call, fault_real->C_CloseSession(session));
    fault_closed(session);
    return fault_end(&call);
}

static CK_RV close_all_sessions(CK_SLOT_ID slot) {
    fault_call call = begin(FUNCTION_C_CloseAllSessions, 0);
    FORWARD(call, fault_real->C_CloseAllSessions(fault_swapped_slot(slot)));
    if (call.result == CKR_OK) fault_closed_all();
    return fault_end(&call);
}

static CK_RV get_session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *info) {
    fault_call call = begin(FUNCTION_C_GetSessionInfo, session);
    FORWARD(call, fault_real->C_GetSessionInfo(session, info));
    if (call.result == CKR_OK) info->slotID = fault_swapped_slot(info->slotID);
    return fault_end(&call);
}

static CK_RV get_operation_state(CK_SESSION_HANDLE session, unsigned char *state, CK_ULONG *length) {
    fault_call call = begin(FUNCTION_C_GetOperationState, session);
    FORWARD(call, fault_real->C_GetOperationState(session, state, length));
    return fault_end(&call);
}

static CK_RV set_operation_state(
    CK_SESSION_HANDLE session, unsigned char *state, CK_ULONG length, CK_OBJECT_HANDLE encryption,
    CK_OBJECT_HANDLE authentication) {
    fault_call call = begin(FUNCTION_C_SetOperationState, session);
    FORWARD(
        call, fault_real->C_SetOperationState(
                  session, state, length, fault_real_object(encryption), fault_real_object(authentication)));
    return fault_end(&call);
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, unsigned char *pin, CK_ULONG length) {
    fault_call call = begin(FUNCTION_C_Login, session);
    FORWARD(call, fault_real->C_Login(session, user, pin, length));
    return fault_end(&call);
}

static CK_RV logout(CK_SESSION_HANDLE session) {
    fault_call call = begin(FUNCTION_C_Logout, session);
    FORWARD(call, fault_real->C_Logout(session));
    return fault_end(&call);
}

static CK_RV create_object(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *object) {
    fault_call call = begin(FUNCTION_C_CreateObject, session);
    CK_ATTRIBUTE *copy = template == NULL ? NULL : fault_without_ignored(template, &count);
    FORWARD(call, fault_real->C_CreateObject(session, copy != NULL ? copy : template, count, object));
    free(copy);
    if (call.result == CKR_OK && !call.answered) *object = fault_shown_object(*object);
    return fault_end(&call);
}

static CK_RV copy_object(
    CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *made) {
    CK_OBJECT_HANDLE real = fault_real_object(object);
    fault_call call = fault_begin(FUNCTION_C_CopyObject, session, real, NULL);
    CK_ATTRIBUTE *copy = template == NULL ? NULL : fault_without_ignored(template, &count);
    FORWARD(call, fault_real->C_CopyObject(session, real, copy != NULL ? copy : template, count, made));
    free(copy);
    if (call.result == CKR_OK && !call.answered) *made = fault_shown_object(*made);
    return fault_end(&call);
}

static CK_RV destroy_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object) {
    CK_OBJECT_HANDLE real = fault_real_object(object);
    fault_call call = fault_begin(FUNCTION_C_DestroyObject, session, real, NULL);
    FORWARD(call, fault_real->C_DestroyObject(session, real));
    return fault_end(&call);
}

static CK_RV get_object_size(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ULONG *size) {
    CK_OBJECT_HANDLE real = fault_real_object(object);
    fault_call call = fault_begin(FUNCTION_C_GetObjectSize, session, real, NULL);
    FORWARD(call, fault_real->C_GetObjectSize(session, real, size));
    return fault_end(&call);
}

static CK_RV get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template, CK_ULONG count) {
    CK_OBJECT_HANDLE real = fault_real_object(object);
    fault_call call = fault_begin(FUNCTION_C_GetAttributeValue, session, real, NULL);
    FORWARD(call, fault_real->C_GetAttributeValue(session, real, template, count));
    return fault_end(&call);
}

static CK_RV set_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template, CK_ULONG count) {
    CK_OBJECT_HANDLE real = fault_real_object(object);
    fault_call call = fault_begin(FUNCTION_C_SetAttributeValue, session, real, NULL);
    CK_ATTRIBUTE *copy = template == NULL ? NULL : fault_without_ignored(template, &count);
    FORWARD(call, fault_real->C_SetAttributeValue(session, real, copy != NULL ? copy : template, count));
    free(copy);
    return fault_end(&call);
}

static CK_RV find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG count) {
    fault_call call = begin(FUNCTION_C_FindObjectsInit, session);
    FORWARD(call, fault_real->C_FindObjectsInit(session, template, count));
    return fault_end(&call);
}

static CK_RV find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG capacity, CK_ULONG *count) {
    fault_call call = begin(FUNCTION_C_FindObjects, session);
    FORWARD(call, fault_real->C_FindObjects(session, objects, capacity, count));
    if (call.result == CKR_OK && !call.answered) {
        for (CK_ULONG index = 0; index < *count; index++) objects[index] = fault_shown_object(objects[index]);
        // Here corruption means objects that are not found.
        if (call.has_rule && call.rule.damage == DAMAGE_ZERO) *count = 0;
        if (call.has_rule && call.rule.damage == DAMAGE_SHORTEN && *count > 0) *count -= 1;
    } else if (call.result == CKR_OK && call.answered && count != NULL) {
        *count = 0;
    }
    return fault_end(&call);
}

static CK_RV find_objects_final(CK_SESSION_HANDLE session) {
    fault_call call = begin(FUNCTION_C_FindObjectsFinal, session);
    FORWARD(call, fault_real->C_FindObjectsFinal(session));
    return fault_end(&call);
}

static CK_RV get_function_status(CK_SESSION_HANDLE session) {
    fault_call call = begin(FUNCTION_C_GetFunctionStatus, session);
    FORWARD(call, fault_real->C_GetFunctionStatus(session));
    return fault_end(&call);
}

static CK_RV cancel_function(CK_SESSION_HANDLE session) {
    fault_call call = begin(FUNCTION_C_CancelFunction, session);
    FORWARD(call, fault_real->C_CancelFunction(session));
    return fault_end(&call);
}

CK_FUNCTION_LIST fault_list = {
    .version = {2, 40},
    .C_Initialize = initialize,
    .C_Finalize = finalize,
    .C_GetInfo = get_info,
    .C_GetFunctionList = get_function_list,
    .C_GetSlotList = get_slot_list,
    .C_GetSlotInfo = get_slot_info,
    .C_GetTokenInfo = get_token_info,
    .C_GetMechanismList = get_mechanism_list,
    .C_GetMechanismInfo = get_mechanism_info,
    .C_InitToken = init_token,
    .C_InitPIN = init_pin,
    .C_SetPIN = set_pin,
    .C_OpenSession = open_session,
    .C_CloseSession = close_session,
    .C_CloseAllSessions = close_all_sessions,
    .C_GetSessionInfo = get_session_info,
    .C_GetOperationState = get_operation_state,
    .C_SetOperationState = set_operation_state,
    .C_Login = login,
    .C_Logout = logout,
    .C_CreateObject = create_object,
    .C_CopyObject = copy_object,
    .C_DestroyObject = destroy_object,
    .C_GetObjectSize = get_object_size,
    .C_GetAttributeValue = get_attribute_value,
    .C_SetAttributeValue = set_attribute_value,
    .C_FindObjectsInit = find_objects_init,
    .C_FindObjects = find_objects,
    .C_FindObjectsFinal = find_objects_final,
    .C_GetFunctionStatus = get_function_status,
    .C_CancelFunction = cancel_function,
    .C_WaitForSlotEvent = wait_for_slot_event,
};

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list) {
    if (list == NULL) return CKR_ARGUMENTS_BAD;
    fault_fill_key_calls();
    *list = &fault_list;
    return CKR_OK;
}
