import ClavigerWire
import Testing

@testable import ClavigerCore

/// Token profiles stand under the configuration's own settings.
@Suite struct ProfileTests {
    private func parsed(_ text: String, profile: String) throws(ConfigurationError) -> Configuration {
        try Configuration.parse(Array((text + "\ntoken.uri = \"pkcs11:token=x\"\n").utf8), file: "c.toml") { name in
            ("/tokens/\(name).toml", Array(profile.utf8))
        }
    }

    private static let full = """
        [module]
        path = "/lib/a.so"
        initialize-arguments = "x=1"
        storage-format = "attribute-files"
        software-token = true
        [module.environment]
        A = "1"
        B = "2"
        [quirks]
        keeps-copyable = false
        keeps-destroyable = false
        keeps-modifiable = false
        keeps-allowed-mechanisms = false
        keeps-local = false
        audit-key = "rsa-3072"
        key-wrap-limit = 256
        holds-private-data = false
        empty-so-pin = true
        read-only-sessions = false
        session-limit = 16
        [token]
        suite = "aes-cbc-hmac"
        """

    @Test func aProfileGivesItsSettings() throws {
        let configuration = try parsed("profile = \"some\"", profile: Self.full)
        #expect(configuration.profile == "some")
        #expect(configuration.module.path == "/lib/a.so")
        #expect(configuration.module.initializeArguments == "x=1")
        #expect(configuration.module.softwareToken)
        #expect(configuration.module.environment.map(\.name) == ["A", "B"])
        #expect(configuration.token.suite == .aesCBCWithHMAC)
        #expect(configuration.quirks.openAttributes == Set(TokenQuirks.OpenAttribute.allCases))
        #expect(configuration.quirks.auditKey == .rsa3072)
        #expect(configuration.quirks.keyWrapLimit == 256)
        #expect(!configuration.quirks.holdsPrivateData && configuration.quirks.startsWithEmptyOfficerPIN)
        #expect(!configuration.quirks.opensReadOnlySessions && configuration.quirks.sessionLimit == 16)
    }

    @Test func theFilesOwnSettingsWin() throws {
        let own = """
            profile = "some"
            module.path = "/lib/b.so"
            module.software-token = false
            module.environment.B = "3"
            quirks.keeps-copyable = true
            quirks.audit-key = "ec-p256"
            quirks.key-wrap-limit = 4096
            token.suite = "aes-kw-hmac"
            """
        let configuration = try parsed(own, profile: Self.full)
        #expect(configuration.module.path == "/lib/b.so")
        #expect(!configuration.module.softwareToken)
        #expect(configuration.module.environment.map(\.value) == ["1", "3"])
        #expect(configuration.token.suite == .aesKeyWrapWithHMAC)
        #expect(!configuration.quirks.openAttributes.contains(.copyable))
        #expect(configuration.quirks.openAttributes.count == TokenQuirks.OpenAttribute.allCases.count - 1)
        #expect(configuration.quirks.auditKey == .ecP256)
        #expect(configuration.quirks.keyWrapLimit == 4_096)
    }

    @Test func aProfileSaysNothingButWhatATokenIs() {
        for line in [
            "state-directory = \"/x\"", "token.uri = \"pkcs11:\"", "token.pin-file = \"/p\"", "profile = \"other\"",
            "log.level = \"info\"",
        ] {
            let error = #expect(throws: ConfigurationError.self) { try parsed("profile = \"some\"", profile: line) }
            #expect(error?.description.hasPrefix("/tokens/some.toml:1: unknown ") == true, "\(error as Any)")
        }
        let error = #expect(throws: ConfigurationError.self) {
            try parsed("profile = \"some\"", profile: "[quirks]\nkey-wrap-limit = 15")
        }
        #expect(error?.description == "/tokens/some.toml:2: quirks.key-wrap-limit is 15; it must be from 16 to 4096")
        #expect(throws: ConfigurationError.self) { try parsed("profile = \"some\"", profile: "[quirks]\nkey-wrap-limit = 4097") }
    }

    @Test(arguments: ["../x", ".x", "a/b", "a b", "ä"]) func namesThatAreNoneAreRefused(name: String) {
        let error = #expect(throws: ConfigurationError.self) { try parsed("profile = \"\(name)\"", profile: "") }
        #expect(error?.description.contains("c.toml:1: profile is the name of a token profile") == true)
    }

    @Test func profilesAreFoundBesideTheFileAndMustBelongToTheSameOwner() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("c.toml", Array("profile = \"\(directory.file("p.toml"))\"\n\(minimal)".utf8))
        #expect(throws: ConfigurationError.missing(path: directory.file("p.toml"))) { try Configuration.load(path: path) }
        _ = try directory.write("p.toml", Array("[quirks]\nkey-wrap-limit = 64\n".utf8))
        #expect(try Configuration.load(path: path).quirks.keyWrapLimit == 64)
        _ = try directory.write("p.toml", Array("[quirks]\nkey-wrap-limit = 64\n".utf8), mode: 0o666)
        #expect(throws: ConfigurationError.writableByOthers(path: directory.file("p.toml"))) {
            try Configuration.load(path: path)
        }
        let named = try directory.write("d.toml", Array("profile = \"no-such-profile\"\n\(minimal)".utf8))
        let error = #expect(throws: ConfigurationError.self) { try Configuration.load(path: named) }
        #expect(error?.description.contains("\(directory.path)/tokens/no-such-profile.toml") == true)
    }

    /// What the settings of a doctor's report make of a token.
    private func quirks(report path: String) throws -> TokenQuirks {
        let text = String(decoding: try Files.read(path), as: UTF8.self)
        let settings = text.split(separator: "\"settings\"").last?.split(separator: "\"speeds\"").first ?? ""
        // A line of TOML a string of JSON: what stands between every other two quotation marks.
        let parts = settings.replacing("\\\"", with: "\u{1}").split(separator: "\"", omittingEmptySubsequences: false)
        let lines = stride(from: 1, to: parts.count, by: 2).map { parts[$0].replacing("\u{1}", with: "\"") }
        return try parsed("profile = \"report\"", profile: lines.joined(separator: "\n")).quirks
    }

    /// Every profile that is shipped is one, and says of the token what the report beside it or its document does.
    @Test func shippedProfilesAreSound() throws {
        let directory = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/hsm-config/tokens"
        let names = try Files.list(directory).filter { $0.hasSuffix(".toml") }
        #expect(names.count == 9)
        for name in names {
            let content = try Files.read(directory + "/" + name)
            let configuration = try parsed("profile = \"some\"", profile: String(decoding: content, as: UTF8.self))
            #expect(configuration.profile == "some", "\(name)")
            // What no doctor and no document said is left at its default.
            var expected = TokenQuirks()
            if ["softhsm.toml", "nss-softokn.toml", "opencryptoki.toml"].contains(name) {
                expected = try quirks(report: directory + "/" + name.replacing(".toml", with: ".json"))
            } else {
                #expect(configuration.token.suite == nil, "\(name)")
            }
            switch name {
            case "cloudhsm.toml": expected.opensReadOnlySessions = false
            case "nss-softokn.toml": expected.startsWithEmptyOfficerPIN = true
            default: break
            }
            #expect(configuration.quirks == expected, "\(name)")
        }
    }
}
