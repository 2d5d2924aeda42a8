#define _GNU_SOURCE
#include "fault.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Which rule a call meets, and what that does before and after the real module is asked.

uint64_t fault_random(uint64_t *state) {
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

// A rule that fires once fires once for its control file, however many processes load the module: a mark beside the file tells.
static bool take_mark(const fault_rule *rule) {
    if (!rule->once) return true;
    uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
    for (const char *text = rule->text; *text != 0; text++) hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    char mark[MAXIMUM_PATH + 32];
    snprintf(mark, sizeof mark, "%s.fired.%016lx", fault_control_path(), (unsigned long)hash);
    int file = open(mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) return false;
    close(file);
    return true;
}

static bool matches(const fault_rule *rule, const fault_call *call, const char *label) {
    if (rule->function != FUNCTION_ANY && rule->function != call->function) return false;
    if (rule->has_mechanism && !(call->has_mechanism && call->mechanism == rule->mechanism)) return false;
    return rule->label[0] == 0 || strstr(label, rule->label) != NULL;
}

static bool is_due(fault_rule *rule, const fault_settings *settings) {
    unsigned long number = ++rule->seen;
    if (number < rule->nth || (number - rule->nth) % rule->every != 0 || rule->fired >= rule->count) return false;
    if (rule->percent < 100) {
        uint64_t state = settings->seed ^ number * 0x2545f4914f6cdd1du;
        for (const char *text = rule->text; *text != 0; text++) state = state * 31 + (unsigned char)*text;
        if (fault_random(&state) % 100 >= rule->percent) return false;
    }
    return take_mark(rule);
}

// Whether any rule looks at labels: only then they are asked for.
static bool wants_label(const fault_settings *settings, fault_function function) {
    for (int index = 0; index < settings->rule_count; index++) {
        const fault_rule *rule = &settings->rules[index];
        if (rule->label[0] != 0 && (rule->function == FUNCTION_ANY || rule->function == function)) return true;
    }
    return false;
}

// The first rule that is due fires; those before and after it count the call all the same.
static void choose(fault_call *call, const char *label) {
    for (int index = 0; index < fault_now->rule_count; index++) {
        fault_rule *rule = &fault_now->rules[index];
        if (!matches(rule, call, label) || !is_due(rule, fault_now) || call->has_rule) continue;
        rule->fired++;
        call->has_rule = true;
        call->rule = *rule;
        call->random = fault_now->seed ^ (rule->fired * 0x9e3779b97f4a7c15u);
    }
}

static bool still_stands(const char *text) {
    bool found = false;
    fault_lock();
    fault_refresh();
    for (int index = 0; index < fault_now->rule_count; index++) {
        if (strcmp(fault_now->rules[index].text, text) == 0) found = true;
    }
    fault_unlock();
    return found;
}

// The address that a crash writes to.
static char *volatile nowhere = NULL;

static void stop(const fault_call *call) {
    const useconds_t pause = 2000;
    switch (call->rule.stop) {
    case STOP_NONE: break;
    case STOP_HANG:
        fault_trace(call);
        while (still_stands(call->rule.text)) usleep(pause);
        break;
    case STOP_CRASH:
        fault_trace(call);
        // A real one: a signal that is only sent could be blocked in this thread.
        signal(SIGSEGV, SIG_DFL);
        *(volatile char *)nowhere = 0;
        break;
    case STOP_ABORT:
        fault_trace(call);
        abort();
    case STOP_KILL:
        fault_trace(call);
        raise(SIGKILL);
        break;
    case STOP_EXIT:
        fault_trace(call);
        exit(call->rule.exit_status);
    }
}

// What a token that is not there answers.
static void answer_absent(fault_call *call) {
    switch (call->function) {
    case FUNCTION_C_Initialize:
    case FUNCTION_C_Finalize:
    case FUNCTION_C_GetInfo:
    case FUNCTION_C_GetFunctionList:
    case FUNCTION_C_GetSlotList:
    case FUNCTION_C_GetSlotInfo:
    case FUNCTION_C_WaitForSlotEvent: return;
    case FUNCTION_C_GetTokenInfo:
    case FUNCTION_C_GetMechanismList:
    case FUNCTION_C_GetMechanismInfo:
    case FUNCTION_C_InitToken:
    case FUNCTION_C_OpenSession:
    case FUNCTION_C_CloseAllSessions: call->result = CKR_TOKEN_NOT_PRESENT; break;
    default: call->result = CKR_DEVICE_REMOVED;
    }
    call->answered = true;
}

fault_call fault_begin(
    fault_function function, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, const CK_MECHANISM *mechanism) {
    fault_call call = {.function = function, .session = session, .object = object, .started = fault_now_us()};
    if (mechanism != NULL) {
        call.has_mechanism = true;
        call.mechanism = mechanism->mechanism;
    } else if (object == 0 && session != 0 && fault_noted_key(session, &call.object, &call.mechanism)) {
        call.has_mechanism = true;
    }
    if (fault_real == NULL) {
        call.answered = true;
        call.result = CKR_CRYPTOKI_NOT_INITIALIZED;
        return call;
    }
    char label[256] = "";
    fault_lock();
    fault_refresh();
    bool labelled = fault_now != NULL && wants_label(fault_now, function);
    fault_unlock();
    if (labelled && call.object != 0) fault_label(session, call.object, label, sizeof label);
    fault_lock();
    if (fault_now->absent) answer_absent(&call);
    if (!call.answered && session != 0 && fault_is_dead(session)) {
        call.answered = true;
        call.result = CKR_SESSION_HANDLE_INVALID;
    }
    choose(&call, label);
    char storage[MAXIMUM_PATH];
    strcpy(storage, fault_now->storage);
    fault_unlock();
    if (!call.has_rule) return call;
    if (call.rule.delay > 0) usleep((useconds_t)call.rule.delay);
    if (!call.rule.after) stop(&call);
    if (call.rule.has_result && !call.rule.after) {
        call.answered = true;
        call.result = call.rule.result;
    }
    if (call.rule.swallow) call.files = fault_files_before(storage);
    return call;
}

CK_RV fault_end(fault_call *call) {
    if (call->has_rule) {
        if (call->rule.swallow) {
            char storage[MAXIMUM_PATH];
            fault_lock();
            strcpy(storage, fault_now->storage);
            fault_unlock();
            fault_empty_changed(storage, call->files);
        }
        if (call->rule.after) stop(call);
        if (call->rule.after && call->rule.has_result) call->result = call->rule.result;
    }
    fault_trace(call);
    return call->result;
}
