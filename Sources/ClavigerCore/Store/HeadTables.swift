import SecureMemory

/// Which rows the head answers for: all of every table, but for what is named here. A new table is authenticated unless somebody writes
/// down why not.
enum HeadTables {
    /// Tables left out whole.
    static func isExcepted(_ table: String) -> Bool {
        switch table {
        // The signature cannot cover itself.
        case "head": true
        // Counted in blocks while keys are used: signing each block would put the token into the request path's way. Lowered numbers
        // can hide a use from the census and let a version wrap past its limit later than it should; they open nothing.
        case "version_use": true
        // Found anew at each binding, and only reported.
        case "quarantine": true
        // SQLite's own.
        case let name: name.hasPrefix("sqlite_")
        }
    }

    /// Columns left out of tables that are authenticated: counters, as above.
    static func isExcepted(_ column: String, of table: String) -> Bool {
        column == "wraps_reserved" && (table == "key_version" || table == "instance_key")
    }

    /// The authenticated columns of every authenticated table, both in alphabetical order.
    static func columns(_ connection: SQLiteConnection) throws(StoreError) -> [(table: String, columns: [String])] {
        var tables: [String] = []
        try connection.run("SELECT name FROM main.sqlite_schema WHERE type = 'table' ORDER BY name") { row throws(StoreError) in
            tables.append(row.text(0))
        }
        var found: [(String, [String])] = []
        for table in tables where !isExcepted(table) {
            var columns: [String] = []
            try connection.run("SELECT name FROM main.pragma_table_info(?) ORDER BY name", [.text(table)]) {
                row throws(StoreError) in columns.append(row.text(0))
            }
            found.append((table, columns.filter { !isExcepted($0, of: table) }))
        }
        return found
    }

    /// Has every change of an authenticated row told to the connection's digest from now on.
    static func watch(_ connection: SQLiteConnection) throws(StoreError) {
        // Without it REPLACE would remove rows in silence.
        try connection.execute("PRAGMA recursive_triggers = ON")
        for (table, columns) in try columns(connection) {
            let new = call(1, table, columns.map { "NEW.\"\($0)\"" })
            let old = call(-1, table, columns.map { "OLD.\"\($0)\"" })
            let list = columns.map { "\"\($0)\"" }.joined(separator: ", ")
            try connection.execute(
                """
                CREATE TEMP TRIGGER "claviger_insert_\(table)" AFTER INSERT ON main."\(table)" BEGIN SELECT \(new); END;
                CREATE TEMP TRIGGER "claviger_delete_\(table)" AFTER DELETE ON main."\(table)" BEGIN SELECT \(old); END;
                CREATE TEMP TRIGGER "claviger_update_\(table)" AFTER UPDATE OF \(list) ON main."\(table)"
                BEGIN SELECT \(old), \(new); END;
                """)
        }
    }

    /// Reads every authenticated row into the connection's digest, and takes that for what is committed.
    static func scan(_ connection: SQLiteConnection) throws(StoreError) {
        connection.rows.adopt(.init())
        for (table, columns) in try columns(connection) {
            let row = call(1, table, columns.map { "\"\($0)\"" })
            try connection.run("SELECT \(row) FROM main.\"\(table)\"")
        }
        // The schema too: a trigger that somebody added would otherwise make changes in our name.
        try connection.run(
            "SELECT \(call(1, "sqlite_schema", ["type", "name", "tbl_name", "sql"])) FROM main.sqlite_schema")
        connection.rows.commit()
    }

    // A value cannot move to another column: the schema, which gives each its place, is part of what is scanned.
    private static func call(_ sign: Int, _ table: String, _ values: [String]) -> String {
        "\(RowDigest.function)(\(sign), '\(table)', \(values.joined(separator: ", ")))"
    }
}
