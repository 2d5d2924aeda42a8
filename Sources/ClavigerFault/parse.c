#define _GNU_SOURCE
#include "fault.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The control file: a setting or a rule a line. Whatever is not understood is an error, so that no rehearsal passes because of a
// typing error.

typedef struct {
    char *problem;
    size_t size;
    int line;
} complaint;

static bool refuse(const complaint *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(const complaint *to, const char *format, ...) {
    int length = snprintf(to->problem, to->size, "line %d: ", to->line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(to->problem + length, to->size - (size_t)length, format, arguments);
    va_end(arguments);
    return false;
}

static char *word(char **rest) {
    char *found;
    do found = strsep(rest, " \t");
    while (found != NULL && *found == 0);
    return found;
}

static bool count(const char *text, unsigned long *value) {
    char *end;
    errno = 0;
    *value = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == 0 && errno == 0;
}

// "5s", "20ms" or "100us", as microseconds; at most an hour.
static bool duration(const char *text, unsigned long *value) {
    const unsigned long longest = 3600UL * 1000 * 1000;
    char *end;
    errno = 0;
    *value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || errno != 0 || *value > longest) return false;
    if (strcmp(end, "s") == 0) *value *= 1000 * 1000;
    else if (strcmp(end, "ms") == 0) *value *= 1000;
    else if (strcmp(end, "us") != 0) return false;
    return *value <= longest;
}

static bool copy(const char *text, char *target, size_t size) {
    if (text == NULL || strlen(text) >= size) return false;
    strcpy(target, text);
    return true;
}

static bool choose_damage(const char *name, fault_damage *damage) {
    static const char *const names[] = {"none", "flip", "zero", "shorten", "lengthen", "constant", "repeat"};
    for (int index = DAMAGE_FLIP; index <= DAMAGE_REPEAT; index++) {
        if (strcmp(names[index], name) != 0) continue;
        *damage = (fault_damage)index;
        return true;
    }
    return false;
}

static bool option(char *text, fault_rule *rule) {
    char *value = strchr(text, '=');
    if (value != NULL) *value++ = 0;
    const char *name = text;
    if (value == NULL) {
        if (strcmp(name, "once") == 0) return rule->once = true;
        if (strcmp(name, "swallow") == 0) return rule->swallow = true;
        if (strcmp(name, "hang") == 0) rule->stop = STOP_HANG;
        else if (strcmp(name, "crash") == 0) rule->stop = STOP_CRASH;
        else if (strcmp(name, "abort") == 0) rule->stop = STOP_ABORT;
        else if (strcmp(name, "kill") == 0) rule->stop = STOP_KILL;
        else return false;
        return true;
    }
    unsigned long number;
    if (strcmp(name, "nth") == 0) return count(value, &rule->nth) && rule->nth >= 1;
    if (strcmp(name, "every") == 0) return count(value, &rule->every) && rule->every >= 1;
    if (strcmp(name, "count") == 0) return count(value, &rule->count) && rule->count >= 1;
    if (strcmp(name, "percent") == 0) {
        if (!count(value, &number) || number < 1 || number > 100) return false;
        rule->percent = (unsigned)number;
        return true;
    }
    if (strcmp(name, "label") == 0) return copy(value, rule->label, sizeof rule->label) && *value != 0;
    if (strcmp(name, "mechanism") == 0) return rule->has_mechanism = fault_mechanism_named(value, &rule->mechanism);
    if (strcmp(name, "when") == 0) return (rule->after = strcmp(value, "after") == 0) || strcmp(value, "before") == 0;
    if (strcmp(name, "return") == 0) return rule->has_result = fault_result_named(value, &rule->result);
    if (strcmp(name, "delay") == 0) return duration(value, &rule->delay) && rule->delay > 0;
    if (strcmp(name, "corrupt") == 0) return choose_damage(value, &rule->damage);
    if (strcmp(name, "flags") == 0) return fault_flags_named(value, &rule->flags) && rule->flags != 0;
    if (strcmp(name, "serial") == 0) return copy(value, rule->serial, sizeof rule->serial) && *value != 0;
    if (strcmp(name, "exit") == 0) {
        if (!count(value, &number) || number > 255) return false;
        rule->stop = STOP_EXIT;
        rule->exit_status = (int)number;
        return true;
    }
    return false;
}

static bool parse_rule(const char *line, char *name, char *rest, fault_settings *settings, const complaint *to) {
    if (settings->rule_count == MAXIMUM_RULES) return refuse(to, "more than %d rules", MAXIMUM_RULES);
    fault_rule rule = {.nth = 1, .every = 1, .count = ULONG_MAX, .percent = 100};
    strcpy(rule.text, line);
    rule.function = fault_function_named(name);
    for (char *part = word(&rest); part != NULL; part = word(&rest)) {
        char shown[64];
        snprintf(shown, sizeof shown, "%s", part);
        if (!option(part, &rule)) return refuse(to, "'%s' is not understood", shown);
    }
    bool acts = rule.has_result || rule.delay > 0 || rule.stop != STOP_NONE || rule.damage != DAMAGE_NONE || rule.swallow
        || rule.flags != 0 || rule.serial[0] != 0;
    if (!acts) return refuse(to, "the rule does nothing");
    if (rule.swallow && settings->storage[0] == 0) return refuse(to, "'swallow' needs 'storage DIRECTORY' above it");
    settings->rules[settings->rule_count++] = rule;
    return true;
}

static bool setting(const char *name, char *rest, fault_settings *settings, const complaint *to) {
    char *value = word(&rest);
    char *second = word(&rest);
    if (word(&rest) != NULL) return refuse(to, "too many words after '%s'", name);
    if (strcmp(name, "trace") == 0) {
        settings->trace_labels = second != NULL && strcmp(second, "labels") == 0;
        if (second != NULL && !settings->trace_labels) return refuse(to, "'%s' is not understood", second);
        return copy(value, settings->trace, MAXIMUM_PATH) || refuse(to, "trace needs a file");
    }
    if (second != NULL) return refuse(to, "too many words after '%s'", name);
    if (strcmp(name, "module") == 0) return copy(value, settings->module, MAXIMUM_PATH) || refuse(to, "module needs a path");
    if (strcmp(name, "storage") == 0) {
        return copy(value, settings->storage, MAXIMUM_PATH) || refuse(to, "storage needs a directory");
    }
    if (strcmp(name, "absent") == 0 && value == NULL) return settings->absent = true;
    if (value == NULL) return refuse(to, "'%s' is not understood", name);
    unsigned long number;
    if (strcmp(name, "seed") == 0) {
        if (!count(value, &number)) return refuse(to, "'%s' is not a number", value);
        settings->seed = number;
        return true;
    }
    if (strcmp(name, "sessions") == 0) {
        return (count(value, &settings->session_limit) && settings->session_limit >= 1)
            || refuse(to, "sessions needs a number of at least 1");
    }
    if (strcmp(name, "renumber") == 0) {
        if (strcmp(value, "objects") == 0) return settings->renumber_objects = true;
        if (strcmp(value, "slots") == 0) return settings->renumber_slots = true;
        return refuse(to, "'%s' cannot be renumbered", value);
    }
    if (strcmp(name, "reuse") == 0) {
        if (strcmp(value, "handles") == 0) return settings->reuse_handles = true;
        return refuse(to, "'%s' cannot be reused", value);
    }
    if (strcmp(name, "ignore") == 0) {
        if (settings->ignored_count == MAXIMUM_NAMES) return refuse(to, "more than %d attributes", MAXIMUM_NAMES);
        return fault_attribute_named(value, &settings->ignored[settings->ignored_count++])
            || refuse(to, "there is no attribute '%s'", value);
    }
    if (strcmp(name, "without") == 0) {
        if (strcmp(value, "read-only-sessions") == 0) return settings->only_writing_sessions = true;
        if (settings->hidden_count == MAXIMUM_NAMES) return refuse(to, "more than %d mechanisms", MAXIMUM_NAMES);
        return fault_mechanism_named(value, &settings->hidden[settings->hidden_count++])
            || refuse(to, "there is no mechanism '%s'", value);
    }
    return refuse(to, "'%s' is not understood", name);
}

bool fault_parse(char *text, fault_settings *settings, char *problem, size_t size) {
    memset(settings, 0, sizeof *settings);
    complaint to = {problem, size, 0};
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        to.line++;
        if (strlen(line) >= MAXIMUM_LINE) return refuse(&to, "longer than %d bytes", MAXIMUM_LINE - 1);
        char whole[MAXIMUM_LINE], parts[MAXIMUM_LINE];
        strcpy(whole, line);
        strcpy(parts, line);
        char *next = parts;
        char *name = word(&next);
        if (name == NULL || *name == '#') continue;
        bool is_rule = fault_function_named(name) != (fault_function)-1;
        if (!(is_rule ? parse_rule(whole, name, next, settings, &to) : setting(name, next, settings, &to))) return false;
    }
    if (settings->module[0] != '/') {
        to.line = 0;
        return refuse(&to, "no 'module' with the absolute path of the real module");
    }
    return true;
}
