import ClavigerClient
import ClavigerCore
import ClavigerWire
import Glibc
import Support
import Testing

/// What records of use say beyond key and version: which version an envelope got, what a list was of.
@Suite struct AuditUseTests {
    private func text(_ entry: AuditEntry) -> String { String(decoding: entry.line, as: UTF8.self) }

    @Test func aNewEnvelopesVersionIsRecorded() throws {
        let daemon = try DaemonHarness.running()
        let client = daemon.client()
        let key = try client.createKey(name: "renewed").id
        let old = try client.wrap(.id(key), [1]).envelope
        _ = try client.rotateKey(.id(key))
        let fresh = try #require(try client.opening(old, refresh: true).opened.refreshed)
        _ = try client.rewrap(old)
        _ = try client.open(old)
        _ = try client.opening(fresh.envelope, refresh: true)
        _ = try client.unwrap([SealedItem(old), SealedItem(fresh.envelope)], refresh: true)

        let records = try daemon.auditRecords()
        let rewrapped = try #require(records.first { $0.event == "rewrap" })
        #expect(rewrapped.version == "1" && rewrapped.details == ["rewrappedKeyVersionId=2"], "\(text(rewrapped))")
        let unwraps = records.filter { $0.event == "unwrap" }
        #expect(unwraps.count == 4)
        #expect(unwraps[0].details == ["rewrappedKeyVersionId=2"], "\(text(unwraps[0]))")
        for plain in unwraps[1...2] {
            #expect(
                !text(plain).contains("responseData") && !text(plain).contains("requestData\":{\"requestId\":1,"),
                "\(text(plain))")
        }
        #expect(
            text(unwraps[3]).contains(#""keyVersion":1,"outcome":"success","count":1,"rewrappedKeyVersionId":2}"#)
                && text(unwraps[3]).contains(#""keyVersion":2,"outcome":"success","count":1}"#), "\(text(unwraps[3]))")
    }

    @Test func listsAndCountsSayHowMuchTheyShowed() throws {
        let daemon = try DaemonHarness.running()
        for line in [
            "ring create fin", "key create one --ring fin", "key create two --ring fin", "key create three", "key rotate one",
            "registration set one db",
        ] { #expect(try daemon.shell("claviger \(line)").status == 0, "\(line)") }
        let expected: [(line: String, event: String, total: Int, filter: [String])] = [
            ("key list --ring fin --search one", "key-list", 1, ["ring=fin", "search=one"]),
            ("key list --count --state active --kind root", "key-count", 3, ["states=active", "kind=root"]),
            ("key list", "key-list", 3, []), ("key versions one", "key-versions", 2, []), ("key census one", "key-census", 2, []),
            ("ring list", "ring-list", 2, []), ("registration list", "registration-list", 1, []),
            ("import-token list", "import-token-list", 0, []), ("approval list", "approval-list", 0, []),
            ("access list", "access-list", 5, []),
        ]
        for (line, event, total, filter) in expected {
            let ended = try daemon.shell("claviger \(line)")
            #expect(ended.status == 0, "\(line): \(ended.errorText)")
            let record = try #require(try daemon.auditRecords().last { $0.event == event }, "\(event)")
            #expect(record.details.contains("totalResources=\(total)"), "\(line): \(text(record))")
            #expect(Set(record.details).isSuperset(of: filter), "\(line): \(text(record))")
        }
    }

    /// Conditions of grants are contexts: they are recorded as contexts are.
    @Test(arguments: AuditContexts.Form.allCases) func conditionsAreRecordedAsContextsAre(form: AuditContexts.Form) throws {
        let daemon = try DaemonHarness.running(DaemonHarness.audit("context = \"\(form.rawValue)\""))
        for line in [
            "access grant unit:a.service Reader --context SECRETTENANT=7",
            "access explain --as unit:a.service wrap --context SECRETTENANT=7",
            "access revoke $(claviger access list --json | grep -o '\"id\":\"[^\"]*' | tail -n 1 | cut -c 7-)",
        ] {
            let ended = try daemon.shell("claviger \(line)")
            #expect(ended.status == 0, "\(line): \(ended.errorText)")
        }
        let refused = try daemon.shell("claviger access grant unit:a.service Absent --context SECRETTENANT=7")
        #expect(refused.status == 1)
        daemon.stop()
        let records = try daemon.auditRecords().filter { $0.event.hasPrefix("access-") }
        for event in ["access-grant success", "access-explain success", "access-revoke success", "access-grant failure"] {
            let record = try #require(records.first { "\($0.event) \($0.outcome)" == event }, "\(event)")
            let line = text(record)
            switch form {
            case .clear: #expect(line.contains("\"context\":\"'SECRETTENANT=7'\""), "\(line)")
            case .hash:
                #expect(!line.contains("SECRETTENANT") && line.contains("\"context\":\"sha256:"), "\(line)")
            case .none: #expect(!line.contains("SECRETTENANT") && !line.contains("sha256:"), "\(line)")
            }
        }
    }
}
