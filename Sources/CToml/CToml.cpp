#include "CToml.h"

#include <algorithm>
#include <new>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

// Header-only, so that the daemon stays one file to install; errors as values, so that nothing unwinds into Swift. Allocation is the
// one thing that still throws, and toml_parse catches it.
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_MAX_NESTED_VALUES 8
#define TOML_ENABLE_FORMATTERS 0
#define TOML_UNRELEASED_FEATURES 0
#include <toml++/toml.h>

static_assert(TOML_NESTING_MAXIMUM == TOML_MAX_NESTED_VALUES, "the header states toml++'s bound");

namespace {

struct Entry {
    std::string path;
    uint32_t depth = 1;
    int type = TOML_TYPE_TABLE;
    std::string string;
    int64_t integer = 0;
    bool boolean = false;
    uint32_t line = 0;
    uint32_t column = 0;
};

bool isBare(std::string_view name) {
    return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    });
}

void appendName(std::string &path, std::string_view name) {
    if (!path.empty()) path += '.';
    if (isBare(name)) {
        path += name;
        return;
    }
    // Quoted, so that the name "a.b" and the names a, b never give the same path.
    path += '"';
    for (char c : name) {
        if (c == '"' || c == '\\') path += '\\';
        path += c;
    }
    path += '"';
}

// Recursion as deep as the document: bounded by TOML_NESTING_MAXIMUM and TOML_LINE_DOTS_MAXIMUM.
void flatten(const toml::table &table, const std::string &prefix, uint32_t depth, std::vector<Entry> &entries) {
    for (const auto &[key, node] : table) {
        Entry entry;
        entry.path = prefix;
        appendName(entry.path, key.str());
        entry.depth = depth;
        entry.line = static_cast<uint32_t>(key.source().begin.line);
        entry.column = static_cast<uint32_t>(key.source().begin.column);
        const toml::table *child = node.as_table();
        if (child != nullptr) {
            entry.type = TOML_TYPE_TABLE;
        } else if (node.is_array()) {
            entry.type = TOML_TYPE_ARRAY;
        } else if (const auto *string = node.as_string()) {
            entry.type = TOML_TYPE_STRING;
            entry.string = string->get();
        } else if (const auto *integer = node.as_integer()) {
            entry.type = TOML_TYPE_INTEGER;
            entry.integer = integer->get();
        } else if (const auto *boolean = node.as_boolean()) {
            entry.type = TOML_TYPE_BOOLEAN;
            entry.boolean = boolean->get();
        } else if (node.is_floating_point()) {
            entry.type = TOML_TYPE_FLOAT;
        } else {
            entry.type = TOML_TYPE_DATE_TIME;
        }
        std::string path = entry.path;
        entries.push_back(std::move(entry));
        if (child != nullptr) flatten(*child, path, depth + 1, entries);
    }
}

// toml++ bounds how deep values nest, not how deep dotted keys and headers build tables: a megabyte of "a.a.a." makes a tree whose
// destructor overflows the stack. No key spans lines, so the dots of a line bound it. Returns the first line past the bound, 0 for none.
uint32_t lineWithTooManyDots(std::string_view text) {
    uint32_t line = 1;
    size_t dots = 0;
    char previous = 0;
    for (char c : text) {
        if (c == '\n') {
            line += 1;
            dots = 0;
        } else if (c == '.' && previous != '.') {
            dots += 1;
            if (dots > TOML_LINE_DOTS_MAXIMUM) return line;
        }
        previous = c;
    }
    return 0;
}

}  // namespace

struct toml_document {
    std::vector<Entry> entries;
    bool failed = false;
    std::string message;
    uint32_t line = 0;
    uint32_t column = 0;

    void fail(std::string_view why, uint32_t at, uint32_t in) {
        failed = true;
        message = why;
        line = at;
        column = in;
    }
};

extern "C" {

toml_document *toml_parse(const char *bytes, size_t count) {
    toml_document *document = nullptr;
    try {
        document = new toml_document;
        std::string_view text = count == 0 ? std::string_view() : std::string_view(bytes, count);
        if (uint32_t line = lineWithTooManyDots(text)) {
            document->fail("more than 128 dots in one line", line, 1);
            static_assert(TOML_LINE_DOTS_MAXIMUM == 128, "the message states the bound");
            return document;
        }
        toml::parse_result result = toml::parse(text);
        if (!result) {
            const toml::source_position &where = result.error().source().begin;
            document->fail(result.error().description(), static_cast<uint32_t>(where.line), static_cast<uint32_t>(where.column));
            return document;
        }
        flatten(result.table(), std::string(), 1, document->entries);
        // toml++ keeps tables sorted by name; people read their problems from top to bottom.
        std::sort(document->entries.begin(), document->entries.end(), [](const Entry &a, const Entry &b) {
            return std::tie(a.line, a.column, a.path) < std::tie(b.line, b.column, b.path);
        });
        return document;
    } catch (...) {
        delete document;
        return nullptr;
    }
}

bool toml_failed(const toml_document *document, const char **message, uint32_t *line, uint32_t *column) {
    if (!document->failed) return false;
    *message = document->message.c_str();
    *line = document->line;
    *column = document->column;
    return true;
}

size_t toml_entry_count(const toml_document *document) { return document->entries.size(); }

struct toml_entry toml_entry_at(const toml_document *document, size_t index) {
    const Entry &entry = document->entries[index];
    return {entry.path.data(),   entry.path.size(), entry.depth,   entry.type, entry.string.data(),
            entry.string.size(), entry.integer,     entry.boolean, entry.line, entry.column};
}

void toml_free(toml_document *document) { delete document; }
}
