import ClavigerClient
import ClavigerCore
import ClavigerWire
import Glibc
import Support
import Testing

extension DaemonHarness {
    /// Where the audit log is when nothing else is configured.
    var auditDirectory: String { state + "/audit" }

    /// All records of the log, oldest first.
    func auditRecords(_ directory: String? = nil) throws -> [AuditEntry] {
        var entries: [AuditEntry] = []
        for segment in try AuditSegment.list(directory ?? auditDirectory) {
            try AuditLines.read(segment.path, failed: { $0 }) { (line, _) throws(FileError) in
                if let entry = AuditEntry(Array(line)) { entries.append(entry) }
            }
        }
        return entries
    }

    /// The log's text, whole.
    func auditText() throws -> String {
        try auditRecords().map { String(decoding: $0.line, as: UTF8.self) }.joined(separator: "\n")
    }

    /// Verifies the log with the key that the daemon told, and notes what is wrong.
    @discardableResult
    func verifyAudit(
        _ directory: String? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> AuditVerifier.Report? {
        let text = String(decoding: try readFile((directory ?? auditDirectory) + "/key.pem"), as: UTF8.self)
        var verifier = try AuditVerifier(key: try #require(SigningPublicKey(pem: text)))
        let segments = try AuditSegment.list(directory ?? auditDirectory)
        do throws(AuditVerifier.Finding) {
            for segment in segments { try verifier.feed(segment.path) }
            return try verifier.finish()
        } catch {
            Issue.record("\(error)", sourceLocation: sourceLocation)
            return nil
        }
    }

    /// Settings with these lines in `[audit]`.
    static func audit(_ lines: String...) -> Settings {
        var settings = Settings()
        settings.tables = ["[audit]"] + lines
        return settings
    }
}

/// A thread that is waited for.
final class Worker {
    private var thread = pthread_t()

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    init(_ body: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Body(body))
        let start: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
            if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
            return nil
        }
        pthread_create(&thread, nil, start, box.toOpaque())
    }

    func join() { pthread_join(thread, nil) }
}
