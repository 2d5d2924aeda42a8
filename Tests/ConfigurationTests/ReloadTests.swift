import Testing

@testable import ClavigerCore

@Suite struct ReloadTests {
    /// For every key a value that is not its default, and whether a running daemon takes it over.
    private static let changes: [(key: String, value: String, reloads: Bool)] = [
        ("state-directory", "\"/x\"", false), ("profile", "\"x\"", false), ("module.path", "\"/x\"", false),
        ("module.initialize-arguments", "\"x\"", false),
        ("module.environment", "{ A = \"x\" }", false), ("module.storage-path", "\"/x\"", false),
        ("module.storage-format", "\"attribute-files\"", false), ("module.software-token", "true", false),
        ("token.uri", "\"pkcs11:token=other\"", false), ("token.suite", "\"aes-gcm\"", false),
        ("token.pin-file", "\"/x\"", false),
        ("token.pin-credential", "\"x\"", false),
        ("quirks.keeps-copyable", "false", false), ("quirks.keeps-destroyable", "false", false),
        ("quirks.keeps-modifiable", "false", false), ("quirks.keeps-allowed-mechanisms", "false", false),
        ("quirks.keeps-local", "false", false), ("quirks.audit-key", "\"rsa-3072\"", false),
        ("quirks.key-wrap-limit", "256", false), ("quirks.holds-private-data", "false", false),
        ("quirks.is-security-boundary", "false", false), ("quirks.empty-so-pin", "true", false),
        ("quirks.read-only-sessions", "false", false), ("quirks.session-limit", "3", false),
        ("socket.path", "\"/x\"", false), ("socket.group", "\"x\"", false), ("socket.backlog", "1", false),
        ("socket.max-connections", "1", true),
        ("socket.require-pidfd", "true", true), ("socket.admin-path", "\"/y\"", false), ("socket.admin-group", "\"x\"", false),
        ("quota.requests-per-second", "1", true), ("quota.burst", "1", true), ("quota.in-flight", "1", true),
        ("quota.connections", "1", true), ("unlock.group", "\"x\"", false), ("workers.count", "1", false),
        ("workers.queue", "1", true), ("requests.default-deadline-ms", "1", true), ("requests.max-deadline-ms", "60001", true),
        ("requests.idle-frame-timeout-ms", "100", true), ("audit.directory", "\"/x\"", false),
        ("audit.durability", "\"buffered\"", false), ("audit.context", "\"clear\"", true),
        ("audit.segment-size-mib", "1", false), ("audit.segment-age-hours", "1", false),
        ("audit.checkpoint-records", "100", false), ("audit.checkpoint-seconds", "1", false),
        ("audit.collector", "\"/x\"", false), ("log.level", "\"debug\"", true),
    ]

    @Test func everyKeyIsClassified() throws {
        #expect(Self.changes.map(\.key) == Configuration.keys)
        for change in Self.changes {
            // Keys that mean nothing without another one.
            let path =
                switch change.key {
                case "module.storage-format": "module.storage-path = \"/y\"\n"
                case "socket.admin-group": "socket.admin-path = \"/y\"\n"
                default: ""
                }
            let old = try parsed(path + minimal)
            let new = try Configuration.parse(Array((path + file(change.key, change.value)).utf8), file: "c.toml") { _ in
                ("p.toml", [])
            }
            let difference = new.reloadDifference(from: old)
            #expect(difference.effective == (change.reloads ? [change.key] : []))
            #expect(difference.needsRestart == (change.reloads ? [] : [change.key]))
            #expect(!difference.isEmpty)
            #expect(old.reloaded(with: new) == (change.reloads ? new : old))
        }
    }

    @Test func theSameFileChangesNothing() throws {
        let configuration = try parsed(minimal)
        #expect(configuration.reloadDifference(from: configuration).isEmpty)
    }
}
