import ClavigerClient
import Glibc
import Support
import Testing

@testable import ClavigerCore

/// `claviger token doctor` on every kind of token at hand and on one that a fault module makes dangerous, and what the daemon does of it.
@Suite struct DoctorTests {
    private func objects(_ daemon: DaemonHarness) throws -> [String] {
        try listDirectory(daemon.tokens).filter { $0 != ".claviger.lock" }.flatMap { try listDirectory(daemon.tokens + "/" + $0) }
            .filter { $0.hasSuffix(".object") }
    }

    @Test func softHSMIsWellAndLeftAsItWas() throws {
        let daemon = try DaemonHarness()
        let before = try objects(daemon)
        let found = try daemon.claviger("token", "doctor", "--json")
        #expect(found.status == 0, "\(found.errorText)")
        for part in [
            "\"dangerous\":false", "\"usable\":true", "\"settings\":[]",
            "\"suites\":[\"AES-256-GCM\",\"AES-256-CBC with HMAC-SHA-256\",\"AES-KW with HMAC-SHA-256\"]",
        ] {
            #expect(compact(found.text).contains(part), "\(part)")
        }
        #expect(!found.text.contains("\"refused\"") && !found.text.contains("\"dangerous\"\n"))
        #expect(try objects(daemon) == before)
        // Every field that the schema names is there, and every row that an admin looks for.
        for field in [
            "token", "sections", "title", "rows", "name", "verdict", "detail", "speeds", "operation", "subject", "sessions",
            "perSecond", "suites", "settings", "usable", "dangerous", "fullyTried",
        ] {
            #expect(found.text.contains("\"\(field)\""), "\(field)")
        }
        for row in [
            "import pair", "CKM_AES_KEY_WRAP computes right", "destroying a key", "one object for a CKA_ID",
            "copying the key with a use added", "unwrapping a wrapped key as one that can be read", "sessions that may read only",
            "many sessions at once", "nothing of the doctor's is left", "signing pair ec-p256",
        ] { #expect(found.text.contains("\"\(row)\""), "\(row)") }
        for operation in ["wrap", "unwrap", "wrap sealed", "rewrap", "random", "generate", "authenticate", "sign"] {
            #expect(compact(found.text).contains("\"operation\":\"\(operation)\""), "\(operation)")
        }
        try compare(found.text, .softHSM)
        #expect(!found.text.contains("\"not tried\"") && !found.text.contains("\"failure\""))
        // A person's form says the same, and the instance is as it was.
        let text = try daemon.claviger("token", "doctor")
        #expect(text.status == 0 && text.text.contains("conclusion: it carries AES-256-GCM"), "\(text.text)")
        try daemon.start()
        let second = try daemon.claviger("token", "doctor")
        #expect(second.status == 1 && second.errorText.contains("clavigerd"), "\(second.errorText)")
        #expect(try daemon.client().createKey(name: "after").version == 1)
        #expect(try daemon.client().status().quarantined == 0)
    }

    /// What a killed run leaves is removed by the next, and nothing else is.
    @Test func aKilledRunIsCleanedUpAfter() throws {
        let daemon = try DaemonHarness()
        let before = try objects(daemon)
        // It removes what it is done with: on a busy machine it can have done so between the look and the kill.
        for _ in 0..<10 where try objects(daemon).count <= before.count + 1 {
            let run = try Child.spawn(
                try Programs.path("claviger"), ["token", "doctor"], output: daemon.directory + "/out",
                error: daemon.directory + "/err",
                environment: daemon.environment)
            // Past the first few, so that some are whole: SoftHSM itself never removes a file that it was killed in the middle of.
            let hasBegun = try eventually { try objects(daemon).count > before.count + 2 || run.statusIfEnded() != nil }
            run.end(SIGKILL)
            #expect(hasBegun)
        }
        #expect(try objects(daemon).count > before.count + 1, "it was over before it could be killed")
        let next = try daemon.claviger("token", "doctor")
        #expect(next.status == 0 && next.errorText.contains("objects that a doctor's run left behind"), "\(next.errorText)")
        let after = try objects(daemon)
        // All objects are gone. The one that the token was killed in the middle of making is none: its file holds no key, the token does not
        // show it, and only whoever knows the storage could take it away.
        let rest = Set(after).subtracting(before)
        #expect(Set(after).isSuperset(of: before) && rest.count <= 1)
        for token in try listDirectory(daemon.tokens) {
            for file in rest {
                let path = daemon.tokens + "/" + token + "/" + file
                if access(path, F_OK) == 0 { #expect(!TokenFiles.parses(try readFile(path)), "a whole object stayed") }
            }
        }
        let third = try daemon.claviger("token", "doctor")
        #expect(third.status == 0 && !third.errorText.contains("left behind"), "\(third.errorText)")
        try daemon.start()
        #expect(try daemon.client().status().quarantined == 0)
    }

    /// NSS softokn: keys can be taken out of it, the doctor says so, and the daemon refuses it unless its profile is believed.
    @Test func nssIsNoSecurityBoundary() throws {
        guard let family = TokenFamily.installedNSS() else { return skip("NSS softokn, doctor", "libnss3 is not installed") }
        var settings = DaemonHarness.Settings()
        (settings.family, settings.uri) = (family, family.uri)
        let daemon = try DaemonHarness(settings, initialised: false)
        #expect(try daemon.claviger("token", "init").status == 0)
        let found = try daemon.claviger("token", "doctor", "--json")
        #expect(found.status == 5, "\(found.errorText)")
        let text = compact(found.text)
        #expect(text.contains("\"dangerous\":true") && text.contains("CKM_AES_KEY_WRAP wraps it under a known key"))
        try compare(found.text, family)
        // The profile states what the doctor prints.
        let profile = String(decoding: try readFile(family.profile), as: UTF8.self)
        for line in [
            "keeps-copyable = false", "keeps-destroyable = false", "keeps-allowed-mechanisms = false", "keeps-local = false",
            "key-wrap-limit = 256", "holds-private-data = false", "is-security-boundary = false",
        ] {
            #expect(found.text.contains(line) && profile.contains("\n" + line), "\(line)")
        }
        settings.tables = ["[quirks]", "is-security-boundary = true"]
        try daemon.configure(settings)
        try daemon.start()
        let health = try daemon.wait(for: .needsOperator)
        #expect(health.reason.contains("dangerous") && health.reason.contains("CKA_EXTRACTABLE=false"), "\(health.reason)")
        settings.tables = []
        try daemon.configure(settings)
        try daemon.restart()
        try daemon.wait(for: .ready)
        #expect(daemon.log.contains("no security boundary"))
    }

    @Test func openCryptokiCarriesSuite2() throws {
        if let obstacle = OpenCryptokiSlot.obstacle { return skip("openCryptoki, doctor", obstacle) }
        let log = "/tmp/clvt-ock-doctor-\(getpid()).log"
        defer { unlink(log) }
        var settings = DaemonHarness.Settings()
        settings.family = .openCryptoki(try OpenCryptokiSlot(log: log))
        let daemon = try DaemonHarness(settings, initialised: false)
        try writeFile(daemon.directory + "/first-so-pin", OpenCryptokiSlot.firstOfficerPIN, mode: 0o400)
        let made = try daemon.claviger("token", "init", "--weak-pin", "--so-pin-file", daemon.directory + "/first-so-pin")
        #expect(made.status == 0, "\(made.errorText)")
        let found = try daemon.claviger("token", "doctor", "--json")
        #expect(found.status == 0, "\(found.errorText)")
        #expect(compact(found.text).contains("\"suites\":[\"AES-256-CBC with HMAC-SHA-256\"]"))
        try compare(found.text, settings.family)
        // What stands for "unknown" there is no number of sessions.
        #expect(!compact(found.text).contains("\"sessions\":1844"))
        let profile = String(decoding: try readFile(settings.family.profile), as: UTF8.self)
        for line in [
            "keeps-copyable = false", "keeps-destroyable = false", "keeps-allowed-mechanisms = false",
            "audit-key = \\\"rsa-3072\\\"",
        ] {
            #expect(found.text.contains(line), "\(line)")
            #expect(profile.contains("\n" + line.replacing("\\", with: "")), "\(line)")
        }
    }

    /// The report beside a profile is of a run like this one: the same rows, verdicts, suites and settings. `CLAVIGER_REGENERATE=1`
    /// writes it anew.
    private func compare(_ report: String, _ family: TokenFamily) throws {
        let path = family.profile.replacing(".toml", with: ".json")
        if getenv("CLAVIGER_REGENERATE") != nil { try writeFile(path, report, mode: 0o644) }
        // A field a line, without those that differ from run to run.
        func kept(_ text: String) -> [Substring] {
            let fields = compact(text).replacing("{", with: "\n").replacing(",\"", with: "\n\"").split(separator: "\n")
            return fields.filter { field in
                !["detail", "perSecond", "serial"].contains { field.hasPrefix("\"\($0)\":") } && !field.hasPrefix("\"token\"")
            }
        }
        #expect(kept(report).count > 100)
        #expect(try kept(report) == kept(String(decoding: readFile(path), as: UTF8.self)), "run it with CLAVIGER_REGENERATE=1")
    }

    // JSON without the blanks and line breaks that its writer puts for people.
    private func compact(_ json: String) -> String {
        json.replacing("\" : ", with: "\":").split(separator: "\n").map { $0.drop { $0 == " " } }.joined()
    }
}
