import Foundation
import Support
import Testing

/// A key's whole life from the command line, against the real daemon.
@Suite struct LifecycleCLITests {
    let daemon: DaemonHarness

    init() throws {
        daemon = try DaemonHarness.running()
        // The delays protect people from haste; here nobody waits.
        for setting in ["enable-delay", "restore-delay", "purge-delay", "rotation-interval-minimum"] {
            try does("settings set \(setting) 0s --yes")
        }
    }

    /// Runs a line that must succeed; what it prints.
    @discardableResult
    private func does(_ line: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
        let ended = try daemon.shell("claviger \(line)")
        #expect(ended.status == 0, "\(line): \(ended.errorText)", sourceLocation: sourceLocation)
        return ended.text
    }

    /// Runs a line that must be refused with this code.
    private func isRefused(_ line: String, _ code: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let ended = try daemon.shell("claviger \(line) --json")
        #expect(ended.status == 1, "\(line)", sourceLocation: sourceLocation)
        #expect(ended.errorText.contains("\"code\":\"\(code)\""), "\(line): \(ended.errorText)", sourceLocation: sourceLocation)
    }

    /// A field of the JSON that a line prints.
    private func field(_ name: String, of line: String) throws -> String? {
        let text = try does(line + " --json")
        let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        return object?[name].map { "\($0)" }
    }

    @Test func fromCreationToItsEnd() throws {
        try does("ring create finance")
        try does(
            "key create payroll --description 'Wraps the wages' --tag eu --tag wages --alias pay --ring finance --expires 90d "
                + "--rotate-every 3")
        #expect(try field("ring", of: "key show pay") == "finance")
        #expect(try does("key show pay").contains("eu, wages"))
        try does("wrap pay < /etc/hostname > e.clv")

        try does("key update pay --name payroll-eu --no-tags --expires 2099-01-31")
        #expect(try field("expires", of: "key show payroll-eu") == "2099-01-31T00:00:00.000Z")
        #expect(try !does("key show pay").contains("wages,"))
        let revision = try #require(try field("revision", of: "key show pay"))
        try does("key update pay --description '' --revision \(revision)")
        try isRefused("key update pay --description 'ab' --revision \(revision)", "revision-conflict")
        try does("key move pay default")

        try does("key disable pay --reason audit")
        #expect(try field("state", of: "key show pay") == "suspended")
        try isRefused("unwrap --in e.clv --plaintext-out p", "key-state")
        try does("key enable pay")
        try does("unwrap --in e.clv | cmp - /etc/hostname")

        try does("key rotate pay")
        #expect(try does("key census pay").contains("RETIRABLE"))
        try does("key version retire pay 1")
        try isRefused("unwrap --in e.clv --plaintext-out p", "version-state")
        try isRefused("key version retire pay 2", "version-state")
        try does("key version reinstate pay 1")
        try does("rewrap --all e.clv")
        try does("key version retire pay 1")
        try isRefused("key version destroy pay 1 --yes", "version-state")
        #expect(try does("key census pay").contains("retired"))
        try does("key version destroy pay 1 --yes")
        #expect(try does("key versions pay").contains("destroyed"))
        try does("unwrap --in e.clv | cmp - /etc/hostname")
        try isRefused("key version reinstate pay 1", "version-state")

        try does("registration set pay db/wages --description 'The wages database'")
        #expect(try does("key delete pay --dry-run").contains("would be refused"))
        try isRefused("key delete pay --yes", "resources-protected")
        try does("key delete pay --force --yes")
        try isRefused("unwrap --in e.clv --plaintext-out p", "key-deleted")
        #expect(try does("key list").contains("no keys"))
        #expect(try does("key list --state destroyed").contains("payroll-eu"))
        #expect(try does("key list --state all --count") == "1\n")
        #expect(try does("key show pay").contains("can be purged"))
        try does("key restore pay")
        #expect(try field("state", of: "key show pay") == "active")
        try does("unwrap --in e.clv | cmp - /etc/hostname")

        try does("registration release pay db/wages")
        try does("key delete pay --yes")
        try does("key purge pay --yes")
        try isRefused("key show pay", "denied")
        // The alias is free again.
        try does("key create other --alias pay")
    }

    @Test func namesRingsAndLists() throws {
        for name in ["alpha", "beta", "gamma"] { try does("key create \(name) --alias \(name)-1") }
        try does("ring create finance")
        try isRefused("ring create finance", "already-exists")
        try does("key move alpha finance")
        try isRefused("ring delete finance", "ring-not-empty")
        #expect(try does("key list --ring finance --count") == "1\n")
        #expect(try does("key list --search name:BET --count") == "1\n")
        #expect(try does("key list --sort=-name --json | tr ',' '\\n' | grep '\"name\"'").hasPrefix("\"name\":\"gamma\""))
        #expect(try does("key list --limit 2 | wc -l") == "3\n")
        #expect(try does("alias list | wc -l") == "4\n")
        try isRefused("alias create beta alpha-1", "already-exists")
        try does("alias delete alpha-1")
        try does("alias create beta alpha-1")
        #expect(try field("name", of: "key show alpha-1") == "beta")
        // A name that is another key's alias is nobody's until they are told apart.
        try does("key create beta-1")
        try isRefused("key show beta-1", "ambiguous-name")
        try does("key move alpha default")
        try does("ring delete finance")
    }

    @Test func standardKeysKeepSecrets() throws {
        try writeFile(daemon.directory + "/secret", Array("correct horse\n".utf8))
        try does("key create password --standard --from secret")
        try does("key read password | cmp - secret")
        #expect(try field("kind", of: "key show password") == "standard")
        try isRefused("wrap password --generate", "root-key-required")
        try does("key create root")
        try isRefused("key read root --out o", "standard-key-required")
        try writeFile(daemon.directory + "/new", Array("battery staple\n".utf8))
        try does("key rotate password --from new")
        try does("key read password | cmp - new")
        try does("key read password --version 1 | cmp - secret")
        try does("key disable password")
        try isRefused("key read password --out o", "key-state")
        try does("key enable password")
        // One that the daemon makes.
        try does("key create random --standard")
        #expect(try daemon.shell("claviger key read random | wc -c").text == "32\n")
    }

    @Test func policiesAndApprovals() throws {
        try does("key create payroll")
        try does("policy set payroll --rotation on --rotation-months 6 --dual-control delete")
        #expect(try field("rotationMonths", of: "policy show payroll") == "6")
        try isRefused("key delete payroll --yes", "approval-required")
        try does("approval request delete payroll --reason gone")
        #expect(try does("approval list").contains("gone"))
        let id = try #require(
            try does("approval list --json").split(separator: "\"").first { $0.count == 36 && $0.contains("-4") })
        // Who asked cannot approve.
        try isRefused("approval approve \(id) --yes", "approval-required")
        try does("approval cancel \(id)")
        #expect(try does("approval list").contains("nothing waits"))
        #expect(try does("approval list --all").contains("cancelled"))
        try does("policy set --instance --access on --create-standard off")
        try isRefused("key create password --standard", "policy-veto")
    }
}
