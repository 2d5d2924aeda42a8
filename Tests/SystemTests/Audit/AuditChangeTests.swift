import ClavigerClient
import ClavigerCore
import ClavigerWire
import Glibc
import Support
import Testing

/// The record of a change says what was asked for, and a new key's what it is.
@Suite struct AuditChangeTests {
    /// Changes that between them give every field that the opcode table has recorded.
    private static let lines = [
        "settings set enable-delay 0s --yes", "settings set restore-delay 0s --yes", "settings set purge-delay 0s --yes",
        "settings set rotation-interval-minimum 0s --yes", "ring create fin",
        "key create made --description 'what for' --tag blue --alias al-one --expires 90d --ring fin --rotate-every 3 "
            + "--dual-control none --suite aes-gcm", "key create plain --no-policies", "key create word --standard",
        "import-token create --ttl 10min --uses 2", "key import brought --from material",
        "key rotate brought --from second --emergency 'got out'",
        "key update made --revision 1 --name made2 --description other --tag red --expires 80d", "alias create plain al-two",
        "alias delete al-two", "key move made2 default", "ring delete fin --force", "key rotate plain --emergency leaked",
        "key version retire plain 1", "key census plain", "key version destroy plain 1 --yes",
        "registration set plain db --description what --retention --lease 90d --version 2 --revision 0",
        "registration release plain db",
        "policy set --instance --revision 0 --rotation on --rotation-months 3 --dual-control none --dual-control-new-keys off "
            + "--access on --create-root on --create-standard on --import-root on --import-standard on --enforce-token off "
            + "--metrics on", "key disable plain --reason audit-17", "key enable plain --reason over",
        "key delete plain --force --yes", "key restore plain --reason needed", "key delete plain --yes",
        "key purge plain --yes --reason gone", "access role create Wrapping wrap --summary 'only wraps'",
        "access grant user:nobody Manager --for 1d --context tenant", "access grant user:nobody Manager",
        "access role delete Wrapping", "key create guarded --dual-control delete,disable",
        "approval request delete guarded --reason retired --force --json > asked",
        "approval request disable guarded --json > unwanted",
        "import-token delete --yes $(claviger import-token list --json | grep -o '\"id\":\"[^\"]*' | head -n 1 | cut -c 7-)",
        "access grant unit:gone.service Reader",
        "access revoke $(claviger access list --json | grep -o '\"id\":\"[^\"]*' | tail -n 1 | cut -c 7-)",
        "approval cancel $(grep -o '\"id\":\"[^\"]*' unwanted | cut -c 7-)",
    ]

    @Test func theRecordOfAChangeSaysWhatWasAskedFor() throws {
        guard geteuid() == 0 else { return skip("AuditChangeTests.theRecordOfAChangeSaysWhatWasAskedFor", "needs root") }
        var settings = DaemonHarness.Settings()
        settings.isOpen = true
        settings.tables = ["[audit]", "context = \"clear\""]
        let daemon = try DaemonHarness.running(settings)
        try writeFile(daemon.directory + "/material", "0123456789abcdef0123456789abcdef")
        try writeFile(daemon.directory + "/second", "fedcba9876543210fedcba9876543210")
        for line in AuditChangeTests.lines {
            let ended = try daemon.shell("claviger \(line)")
            #expect(ended.status == 0, "\(line): \(ended.errorText)")
        }
        // What a second person does.
        let program = daemon.directory + "/claviger"
        #expect(try daemon.shell("cp \"$(command -v claviger)\" claviger && chmod 755 claviger && chmod 666 s").status == 0)
        let approved = try daemon.shell(
            "setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps=-all -- \(program) approval approve --yes "
                + "$(grep -o '\"id\":\"[^\"]*' asked | cut -c 7-)")
        #expect(approved.status == 0, "\(approved.errorText)")
        daemon.stop()

        let records = try daemon.auditRecords().filter { $0.outcome == "success" }
        let opcodes = Opcode.allCases.filter { !$0.entry.recorded.isEmpty && $0.entry.retry != .always && $0 != .acceptRollback }
        #expect(opcodes.count > 25)
        for entry in opcodes.map(\.entry) {
            let found = records.filter { $0.event == entry.name }.map { AuditChangeTests.requestNames($0) }
            #expect(!found.isEmpty, "\(entry.name) was never done")
            let missing = Set(entry.recorded).subtracting(found.reduce(Set()) { $0.union($1) })
            #expect(missing.isEmpty, "\(entry.name) \(missing)")
            // Each one can be told from its retry.
            if entry.recorded.contains("operation") {
                #expect(found.allSatisfy { $0.contains("operation") || $0.contains("approval") }, "\(entry.name)")
            }
        }
        let text = try daemon.auditText()
        for reason in ["audit-17", "over", "needed", "gone", "retired", "got out"] {
            #expect(text.contains("\"reason\":\"\(reason)\""), "\(reason)")
        }
        for secret in ["0123456789abcdef0123456789abcdef", "fedcba9876543210"] { #expect(!text.contains(secret)) }
        try daemon.verifyAudit()
    }

    private static func requestNames(_ entry: AuditEntry) -> Set<String> {
        guard let value = try? JSONValue(entry.line), case .object(let fields)? = value["requestData"] else { return [] }
        return Set(fields.map(\.name))
    }

    /// What a new key is, and how its material came.
    @Test func theRecordOfANewKeySaysWhatItIs() throws {
        let daemon = try DaemonHarness.running()
        try writeFile(daemon.directory + "/material", "0123456789abcdef0123456789abcdef")
        for line in [
            "ring create fin", "key create generated --expires 90d --ring fin", "key create chosen --no-policies",
            "key create word --standard --from material", "key create drawn --standard", "key import brought --from material",
            "key import bare --from material --plain",
        ] {
            let ended = try daemon.shell("claviger \(line)")
            #expect(ended.status == 0, "\(line): \(ended.errorText)")
        }
        let created = try daemon.auditRecords().filter { $0.event == "key-create" }
        func record(_ name: String) throws -> AuditEntry {
            try #require(created.first { $0.details.contains("name: none -> \(name)") }, "\(name)")
        }
        for (name, type, material) in [
            ("generated", "root", "generated"), ("chosen", "root", "generated"), ("word", "standard", "imported"),
            ("drawn", "standard", "generated"), ("brought", "root", "import-token"), ("bare", "root", "imported"),
        ] {
            let details = try record(name).details
            #expect(details.contains("keyType=\(type)") && details.contains("material=\(material)"), "\(details)")
            #expect(details.contains("keyState=active") && details.contains { $0.hasPrefix("suite=") }, "\(details)")
            #expect(details.contains { $0.hasPrefix("operation=") }, "\(details)")
        }
        #expect(try record("generated").details.contains { $0.hasPrefix("expirationDate=20") })
        #expect(try record("generated").ring == "fin" && record("generated").action == "kms.secrets.create")
        #expect(try record("chosen").action == "kms.secrets-with-policy-overrides.create")
        #expect(try !record("chosen").details.contains { $0.hasPrefix("expirationDate=") })
    }
}
