import ClavigerWire
import Foundation
import Testing

/// The protocol page says what the code's tables and the golden vectors say.
///
/// `CLAVIGER_REGENERATE=1 swift test --filter ProtocolPage` writes the generated blocks anew; without it they are compared.
@Suite(.serialized) struct ProtocolPageTests {
    private static let regenerates = ProcessInfo.processInfo.environment["CLAVIGER_REGENERATE"] == "1"

    private func place(of block: String, in page: String) -> Range<String.Index>? {
        guard let begin = page.range(of: "<!-- begin \(block) -->\n"),
            let end = page.range(of: "\n<!-- end \(block) -->", range: begin.upperBound..<page.endIndex)
        else { return nil }
        return begin.upperBound..<end.lowerBound
    }

    @Test func generatedBlocksAreWhatTheTablesSay() throws {
        var page = try String(contentsOf: Checkout.protocolPage, encoding: .utf8)
        for block in ProtocolPage.blocks {
            let range = try #require(place(of: block, in: page), "the page has no block \(block)")
            let generated = "\n" + (try ProtocolPage.block(block)) + "\n"
            if Self.regenerates { page.replaceSubrange(range, with: generated) } else { compare(page[range], generated, block) }
        }
        #expect(page.components(separatedBy: "<!-- begin ").count - 1 == ProtocolPage.blocks.count)
        if Self.regenerates { try page.write(to: Checkout.protocolPage, atomically: true, encoding: .utf8) }
    }

    private func compare(_ found: Substring, _ generated: String, _ block: String) {
        guard found != generated else { return }
        let difference = zip(found.split(separator: "\n"), generated.split(separator: "\n")).first { $0 != $1 }
        Issue.record(
            """
            Block \(block) of Protocol.md is out of date; CLAVIGER_REGENERATE=1 writes it anew.
            page: \(difference?.0 ?? "(fewer or more lines)")
            code: \(difference?.1 ?? "")
            """)
    }

    /// The bytes that stand in an example are the vector's: all of them, in order, nothing else.
    @Test(arguments: ["ping-request", "wrap-request", "wrap-reply", "unwrap-request-refresh", "unwrap-reply-refresh"])
    func examplesAreTheVectorsBytes(_ name: String) throws {
        let vector = try Checkout.vector("messages", name)
        let page = try String(contentsOf: Checkout.protocolPage, encoding: .utf8)
        let about = try #require(page.range(of: vector["about"] + "\n\n```\n"))
        let end = try #require(page.range(of: "\n```", range: about.upperBound..<page.endIndex))
        let digits = page[about.upperBound..<end.lowerBound].split(separator: "\n").map { $0.prefix { $0 != " " } }.joined()
        #expect(bytes(hex: digits) == vector.frame)
    }

    /// The page's own words name numbers too; those that a reader would build on are checked here.
    @Test func proseSaysTheSameNumbers() throws {
        let page = try String(contentsOf: Checkout.protocolPage, encoding: .utf8)
        let facts = [
            "`/run/claviger/claviger.sock`", "`CLAVIGER_SOCKET`", "tags from `0x8000` on",
            "`\"\(EnvelopeLabel.wrap.rawValue)\"`", "`\(EnvelopeText.prefix)`", "protocol version, \(Limits.protocolVersion)",
            "32 zero bytes", "24 hours",
        ]
        for fact in facts { #expect(page.contains(fact), "the page does not say \(fact)") }
        for kind in FrameKind.allCases { #expect(page.contains("\(kind.rawValue) \(kind)")) }
        for suite in Suite.allCases { #expect(page.contains("| \(suite.rawValue) | \(suite.name) |")) }
        for state in DaemonState.allCases { #expect(page.contains("\(state.rawValue) \(state.name)")) }
        for state in KeyState.allCases { #expect(page.contains("\(state.rawValue) \(state.name)")) }
        for permission in Permission.allCases { #expect(page.contains("`\(permission.rawValue)`")) }
    }
}
