#define _GNU_SOURCE
#include "fault.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// A line for each call, appended whole: what was asked of the module, by whom and with what result. Never a byte of its data.

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int file = -1;
static char opened[MAXIMUM_PATH];
static bool with_labels;

uint64_t fault_now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void fault_say(const char *format, ...) {
    char line[MAXIMUM_PATH + 512] = "claviger-fault: ";
    int length = (int)strlen(line);
    va_list arguments;
    va_start(arguments, format);
    length += vsnprintf(line + length, sizeof line - (size_t)length - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 2) length = (int)sizeof line - 2;
    line[length] = '\n';
    ssize_t written = write(STDERR_FILENO, line, (size_t)length + 1);
    (void)written;
}

void fault_reopen_trace(void) {
    pthread_mutex_lock(&mutex);
    with_labels = fault_now->trace_labels;
    if (strcmp(opened, fault_now->trace) != 0) {
        if (file >= 0) close(file);
        strcpy(opened, fault_now->trace);
        file = opened[0] == 0 ? -1 : open(opened, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (file < 0 && opened[0] != 0) fault_say("the trace %s cannot be written", opened);
    }
    pthread_mutex_unlock(&mutex);
}

void fault_trace(const fault_call *call) {
    if (file < 0) return;
    char line[1024], label[256] = "", number[32];
    if (with_labels && call->object != 0 && !call->answered) fault_label(call->session, call->object, label, sizeof label);
    const char *result = fault_result_name(call->result);
    if (result == NULL) {
        snprintf(number, sizeof number, "0x%lx", call->result);
        result = number;
    }
    int length = snprintf(
        line, sizeof line, "%s result=%s at=%lu us=%lu pid=%d tid=%ld session=%lu object=%lu mechanism=0x%lx%s%s%s%s\n",
        fault_function_name(call->function), result, (unsigned long)call->started,
        (unsigned long)(fault_now_us() - call->started), getpid(),
        syscall(SYS_gettid), call->session, call->object, call->has_mechanism ? call->mechanism : 0,
        label[0] != 0 ? " label=" : "", label, call->has_rule ? " rule=" : "", call->has_rule ? call->rule.text : "");
    pthread_mutex_lock(&mutex);
    if (file >= 0) {
        ssize_t written = write(file, line, length < (int)sizeof line ? (size_t)length : sizeof line - 1);
        (void)written;
    }
    pthread_mutex_unlock(&mutex);
}
