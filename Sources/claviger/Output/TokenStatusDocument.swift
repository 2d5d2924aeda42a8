import ClavigerClient

/// A token's state as it is printed.
struct TokenStatusDocument: Encodable {
    var module: String
    var library: String
    var slot: UInt64
    var label: String
    var manufacturer: String
    var model: String
    var serial: String
    var loggedIn: Bool
    var flags: UInt64
    var pinFlags: [String]
    var sessions: UInt64?
    var maximumSessions: UInt64?
    var mechanisms: [Mechanism]

    struct Mechanism: Encodable {
        var name: String
        var present: Bool
        var use: String
    }

    init(_ status: TokenStatusReply) {
        module = status.module
        library = status.library
        slot = status.slot
        label = status.label
        manufacturer = status.manufacturer
        model = status.model
        serial = status.serial
        loggedIn = status.isLoggedIn
        flags = status.flags
        pinFlags = TokenStatusDocument.pinFlags(status.flags)
        sessions = status.sessions
        maximumSessions = status.maximumSessions
        mechanisms = status.mechanisms.map { Mechanism(name: $0.name, present: $0.isPresent, use: $0.use) }
    }

    /// Lines for people.
    static func text(_ status: TokenStatusReply) -> String {
        let pins = pinFlags(status.flags)
        let bound = status.maximumSessions.map { " of \($0)" } ?? ""
        let pairs = Table.pairs([
            ("module", status.module), ("library", status.library), ("slot", String(status.slot)), ("label", status.label),
            ("manufacturer", status.manufacturer), ("model", status.model), ("serial", status.serial),
            ("logged in", status.isLoggedIn ? "yes" : "no"), ("PIN flags", pins.isEmpty ? "none" : pins.joined(separator: " ")),
            ("sessions", (status.sessions.map { String($0) } ?? "not told") + bound),
        ])
        guard !status.mechanisms.isEmpty else { return pairs }
        var table = Table(["MECHANISM", "PRESENT", "USE"])
        for mechanism in status.mechanisms { table.add([mechanism.name, mechanism.isPresent ? "yes" : "no", mechanism.use]) }
        return pairs + "\n\n" + table.text
    }

    /// The names of the PIN flags that are set in CK_TOKEN_INFO.flags (PKCS#11 v2.40, section 3.2).
    private static func pinFlags(_ flags: UInt64) -> [String] {
        let names: [(UInt64, String)] = [
            (0x0001_0000, "user-count-low"), (0x0002_0000, "user-final-try"), (0x0004_0000, "user-locked"),
            (0x0008_0000, "user-to-be-changed"), (0x0010_0000, "so-count-low"), (0x0020_0000, "so-final-try"),
            (0x0040_0000, "so-locked"), (0x0080_0000, "so-to-be-changed"),
        ]
        return names.filter { flags & $0.0 != 0 }.map(\.1)
    }
}
