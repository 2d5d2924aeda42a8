import CSQLite
import SecureMemory

/// The digest over all authenticated rows of one connection's database, kept up to date as rows change.
///
/// Triggers call it for every row written or removed, so no statement can forget to. Used under the connection's lock.
final class RowDigest {
    /// What the committed rows are.
    private(set) var committed = LatticeHash()
    /// Whether this process has followed every change since it last believed the database.
    var isTrusted = false
    /// The database's version for this connection when it was scanned last; other programs' changes move it, its own do not.
    var version: Int64?
    /// The epoch of the head that was written last; 0 before this process wrote one.
    var epoch: UInt64 = 0
    private var committedEpoch: UInt64 = 0
    /// What they are with the present transaction's changes.
    private(set) var working = LatticeHash()

    /// Whether the present transaction has changed what is authenticated.
    var hasChanged: Bool { working != committed }

    /// Takes up what a scan of the whole database found.
    func adopt(_ hash: LatticeHash) {
        committed = hash
        working = hash
    }

    /// The transaction is durable.
    func commit() {
        committed = working
        committedEpoch = epoch
    }

    /// The transaction never happened.
    func rollBack() {
        working = committed
        epoch = committedEpoch
    }

    fileprivate func change(_ sign: Int64, _ element: [UInt8]) {
        if sign > 0 { working.add(element.span.bytes) } else { working.subtract(element.span.bytes) }
    }

    // MARK: SQL

    /// The SQL function that triggers call: sign, table, then the row's authenticated values.
    static let function = "claviger_row"

    /// Makes the function known to a connection; the digest must live as long as it.
    func register(with database: OpaquePointer) -> Bool {
        let pointer = Unmanaged.passUnretained(self).toOpaque()
        return sqlite3_create_function_v2(
            database, RowDigest.function, -1, SQLITE_UTF8, pointer, RowDigest.called, nil, nil, nil) == SQLITE_OK
    }

    private static let called: @convention(c) (OpaquePointer?, Int32, UnsafeMutablePointer<OpaquePointer?>?) -> Void = {
        context, count, values in
        guard let values, count >= 2, let data = sqlite3_user_data(context) else { return }
        let digest = Unmanaged<RowDigest>.fromOpaque(data).takeUnretainedValue()
        var element: [UInt8] = []
        for index in 1..<Int(count) { append(values[index], to: &element) }
        digest.change(sqlite3_value_int64(values[0]), element)
    }

    /// An element says its table first, then each value with its type and length: no two rows are written alike.
    private static func append(_ value: OpaquePointer?, to element: inout [UInt8]) {
        switch sqlite3_value_type(value) {
        case SQLITE_INTEGER:
            element.append(1)
            withUnsafeBytes(of: sqlite3_value_int64(value).bigEndian) { element += $0 }
        case SQLITE_FLOAT:
            element.append(2)
            withUnsafeBytes(of: sqlite3_value_double(value).bitPattern.bigEndian) { element += $0 }
        case SQLITE_NULL: element.append(3)
        case let kind:
            element.append(kind == SQLITE_TEXT ? 4 : 5)
            // The pointer first: asking for it may convert the value, and the length is that of the result.
            let bytes = sqlite3_value_blob(value)
            let count = Int(sqlite3_value_bytes(value))
            withUnsafeBytes(of: UInt64(count).bigEndian) { element += $0 }
            element += UnsafeRawBufferPointer(start: bytes, count: count)
        }
    }
}
