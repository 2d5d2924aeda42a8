#pragma once
// TOML 1.0 by toml++, flattened for Swift: one pass, then plain accessors. No policy: what a key means is the caller's business.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// A parsed document or the error that parsing met; made by toml_parse, released by toml_free.
typedef struct toml_document toml_document;

/// What stands at a path.
enum toml_type {
    TOML_TYPE_TABLE,
    TOML_TYPE_ARRAY,
    TOML_TYPE_STRING,
    TOML_TYPE_INTEGER,
    TOML_TYPE_FLOAT,
    TOML_TYPE_BOOLEAN,
    TOML_TYPE_DATE_TIME,
};

/// One key of the document. The pointers live as long as the document; texts are UTF-8 with a length, may hold zero bytes and are not
/// to be read as C strings.
struct toml_entry {
    /// The key's names joined by dots; a name with other characters than A-Z a-z 0-9 _ - stands in double quotes (with \" and \\ inside).
    const char *path;
    size_t path_length;
    /// How many names the path has, from 1.
    uint32_t depth;
    /// An enum toml_type.
    int type;
    /// The value of a TOML_TYPE_STRING.
    const char *string;
    size_t string_length;
    /// The value of a TOML_TYPE_INTEGER.
    int64_t integer;
    /// The value of a TOML_TYPE_BOOLEAN.
    bool boolean;
    /// Where the key stands, both from 1. A table made by several headers stands at the first.
    uint32_t line;
    uint32_t column;
};

/// The most values that may nest in one another.
enum { TOML_NESTING_MAXIMUM = 8 };
/// The most dots of one line, in whatever role (a run of dots counts as one): bounds the depth that dotted keys and headers can build.
enum { TOML_LINE_DOTS_MAXIMUM = 128 };

/// Parses `count` bytes. The caller bounds `count`. NULL only when memory runs out.
toml_document *toml_parse(const char *bytes, size_t count);
/// Whether the document did not parse; then it has no entries, and the message (a C string) and position say why.
bool toml_failed(const toml_document *document, const char **message, uint32_t *line, uint32_t *column);
/// How many entries there are: tables, arrays and values of tables, in document order. Elements of arrays are not entries.
size_t toml_entry_count(const toml_document *document);
/// The entry at `index`, which is below the count.
struct toml_entry toml_entry_at(const toml_document *document, size_t index);
/// Releases the document and all that its entries point at.
void toml_free(toml_document *document);

#ifdef __cplusplus
}
#endif
