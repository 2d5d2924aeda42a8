import Foundation
import Testing

/// What is peculiar to a kind of token is data, in profiles: no code of these layers knows a product by its name.
@Suite struct ProductNameTests {
    private static let names = [
        "softhsm", "softokn", #"\bnss\b"#, "opencryptoki", "kryoptic", "tpm2", "yubi", #"\bluna\b"#, "nshield", "cloudhsm",
        "thales",
        "entrust", "safenet", "utimaco", "mozilla",
    ]

    @Test(arguments: ["ClavigerCore", "Cryptoki", "CCryptoki"]) func noCodeNamesATokenProduct(target: String) throws {
        let sources = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Sources/\(target)").standardized
        let pattern = try Regex(Self.names.joined(separator: "|")).ignoresCase()
        var files = 0
        for case let file as URL in try #require(FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil)) {
            guard ["swift", "c", "h", "md", "modulemap"].contains(file.pathExtension) else { continue }
            files += 1
            for (index, line) in try String(contentsOf: file, encoding: .utf8).split(
                separator: "\n", omittingEmptySubsequences: false
            )
            .enumerated() where line.contains(pattern) {
                Issue.record("\(file.lastPathComponent):\(index + 1): \(line)")
            }
        }
        #expect(files > 0)
        // The pattern finds what it is for.
        #expect("as SoftHSM does".contains(pattern) && "NSS".contains(pattern) && !"transsend".contains(pattern))
    }
}
