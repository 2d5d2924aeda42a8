import ClavigerWire
import Glibc

/// Finds the profile of a name and gives its path and content.
package typealias ProfileSource = (_ name: String) throws(ConfigurationError) -> (path: String, bytes: [UInt8])

// Token profiles: what is peculiar to a kind of token, in a file of its own. The configuration's own settings win.
extension Configuration {
    /// Where profiles are looked for, after the directory `tokens` beside the configuration.
    package static let profileDirectories = ["/usr/local/share/claviger/tokens", "/usr/share/claviger/tokens"]

    /// Reads the profile that the file names, so that the file's own settings can be read over it.
    mutating func readProfile(
        _ reader: inout ConfigurationReader, _ profiles: ProfileSource?
    ) throws(ConfigurationError) {
        guard let found = reader.string("profile", maximum: ConfigurationLimits.pathBytes) else { return }
        let isPath = found.value.hasPrefix("/")
        guard isPath || found.value.utf8.allSatisfy(Configuration.isProfileCharacter), found.value.utf8.first != UInt8(ascii: ".")
        else {
            reader.problem(found.line, "profile is the name of a token profile (its file without .toml), or an absolute path")
            return
        }
        guard let profiles else {
            reader.problem(found.line, "profile: there are no profiles here")
            return
        }
        profile = found.value
        let (path, bytes) = try profiles(found.value)
        var inner = ConfigurationReader(entries: try Configuration.entries(of: bytes, file: path), file: path)
        module.read(&inner, isProfile: true)
        quirks.read(&inner)
        inner.table("token")
        token.suite = Token.readSuite(&inner)
        let problems = inner.finish()
        guard problems.isEmpty else { throw .invalid(problems) }
    }

    private static func isProfileCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    /// The keys of a TOML file.
    static func entries(of bytes: [UInt8], file: String) throws(ConfigurationError) -> [TOMLEntry] {
        guard bytes.count <= ConfigurationLimits.fileBytes else { throw .tooLarge(path: file) }
        do {
            return try TOMLDocument.parse(bytes)
        } catch {
            let message = "column \(error.column): \(error.message)"
            throw .invalid([ConfigurationProblem(file: file, line: error.line, message: message)])
        }
    }

    /// Profiles beside the configuration at `path`, then where they are installed.
    static func profileSource(besides path: String) -> ProfileSource {
        { (name) throws(ConfigurationError) in
            if name.hasPrefix("/") { return (name, try Configuration.content(name)) }
            let own = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
            let candidates = ([own + "/tokens"] + profileDirectories).map { "\($0)/\(name).toml" }
            let found = candidates.first { access($0, F_OK) == 0 }
            guard let found else { throw .noProfile(name: name, places: candidates) }
            return (found, try Configuration.content(found))
        }
    }
}

extension Configuration.Token {
    /// The words for suites.
    private enum SuiteWord: String, CaseIterable {
        case aesGCM = "aes-gcm"
        case aesCBCWithHMAC = "aes-cbc-hmac"
        case aesKeyWrapWithHMAC = "aes-kw-hmac"

        var suite: Suite {
            switch self {
            case .aesGCM: .aesGCM
            case .aesCBCWithHMAC: .aesCBCWithHMAC
            case .aesKeyWrapWithHMAC: .aesKeyWrapWithHMAC
            }
        }
    }

    /// The word for a suite.
    package static func word(_ suite: Suite) -> String {
        SuiteWord.allCases.first { $0.suite == suite }?.rawValue ?? ""
    }

    static func readSuite(_ reader: inout ConfigurationReader) -> Suite? {
        reader.choice("token.suite", of: SuiteWord.self)?.value.suite
    }
}

extension TokenQuirks {
    mutating func read(_ reader: inout ConfigurationReader) {
        reader.table("quirks")
        for attribute in OpenAttribute.allCases {
            switch reader.boolean("quirks.keeps-\(attribute.rawValue)")?.value {
            case true?: openAttributes.remove(attribute)
            case false?: openAttributes.insert(attribute)
            case nil: break
            }
        }
        auditKey = reader.choice("quirks.audit-key", of: AuditKey.self)?.value ?? auditKey
        keyWrapLimit = reader.integer("quirks.key-wrap-limit", in: ConfigurationLimits.keyWrap)?.value ?? keyWrapLimit
        holdsPrivateData = reader.boolean("quirks.holds-private-data")?.value ?? holdsPrivateData
        isSecurityBoundary = reader.boolean("quirks.is-security-boundary")?.value ?? isSecurityBoundary
        startsWithEmptyOfficerPIN = reader.boolean("quirks.empty-so-pin")?.value ?? startsWithEmptyOfficerPIN
        opensReadOnlySessions = reader.boolean("quirks.read-only-sessions")?.value ?? opensReadOnlySessions
        sessionLimit = reader.integer("quirks.session-limit", in: ConfigurationLimits.sessions)?.value ?? sessionLimit
    }
}
