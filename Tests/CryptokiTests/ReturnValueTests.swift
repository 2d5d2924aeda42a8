import Cryptoki
import Glibc
import Testing

@Suite struct ReturnValueTests {
    /// The header of libp11-kit-dev, which the package is built with.
    private static let header = "/usr/include/p11-kit-1/p11-kit/pkcs11.h"

    @Test func everyConstantOfTheHeaderHasItsName() throws {
        let constants = try returnValues()
        #expect(constants.count >= 94)
        for (name, value) in constants { #expect(ReturnValue(rawValue: value).name == name) }
    }

    @Test func describesNamesVendorsAndStrangers() {
        #expect(ReturnValue.pinIncorrect.description == "CKR_PIN_INCORRECT (0xa0)")
        #expect(ReturnValue(rawValue: 0x8000_0012).description == "CKR_VENDOR_DEFINED + 0x12 (0x80000012)")
        #expect(ReturnValue(rawValue: 0x999).description == "unknown CK_RV (0x999)")
        #expect(CryptokiError.failed(.login, .pinIncorrect).description == "C_Login: CKR_PIN_INCORRECT (0xa0)")
    }

    /// The CKR_ definitions of the header that are plain numbers; CKR_VENDOR_DEFINED is an expression, and a range.
    private func returnValues() throws -> [(String, UInt)] {
        let file = try #require(fopen(ReturnValueTests.header, "re"))
        defer { fclose(file) }
        var constants: [(String, UInt)] = []
        var line = [CChar](repeating: 0, count: 512)
        while fgets(&line, Int32(line.count), file) != nil {
            let bytes = line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:))
            let words = String(decoding: bytes, as: UTF8.self).split { $0.isWhitespace }
            guard words.count >= 3, words[0] == "#define", words[1].hasPrefix("CKR_"), words[2].hasSuffix("UL)") else { continue }
            let number = words[2].dropFirst().dropLast(3)
            guard let value = number.hasPrefix("0x") ? UInt(number.dropFirst(2), radix: 16) : UInt(number) else { continue }
            constants.append((String(words[1]), value))
        }
        return constants
    }
}
