import Cryptoki
import Support
import Testing

@Suite struct WrapTests {
    /// RFC 3394 section 4.6: 256 bits of key data with a 256-bit key.
    @Test func keyWrapIsRFC3394() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        let outer = (0..<32).map { UInt8($0) }
        let inner = (0..<16).map { UInt8($0 * 0x11) } + (0..<16).map { UInt8($0) }
        let expected: [UInt8] = [
            0x28, 0xc9, 0xf4, 0x04, 0xc4, 0xb8, 0x10, 0xf4, 0xcb, 0xcc, 0xb3, 0x5c, 0xfb, 0x87, 0xf8, 0x26, 0x3f, 0x57, 0x86,
            0xe2, 0xd8, 0x0e, 0xd3, 0x26, 0xcb, 0xc7, 0xf0, 0xe7, 0x1a, 0x99, 0xf4, 0x3b, 0xfb, 0x98, 0x8b, 0x9b, 0x7a, 0x02,
            0xdd, 0x21,
        ]
        let wrapping = try session.createObject(
            [
                .objectClass(.secretKey), .keyType(.aes), .bool(.token, false), .bool(.private, true), .bool(.sensitive, true),
                .bool(.wrap, true), .bool(.unwrap, true),
            ], value: outer.span.bytes)
        let key = try session.createObject(
            [
                .objectClass(.secretKey), .keyType(.aes), .bool(.token, false), .bool(.private, true), .bool(.sensitive, true),
                .bool(.extractable, true),
            ], value: inner.span.bytes)
        let wrapped = try filled(40) { (output) throws(CryptokiError) in
            try session.wrapKey(.aesKeyWrap, wrappingKey: wrapping, key: key, into: output)
        }
        #expect(wrapped == expected)
        let template: [Attribute] = [
            .objectClass(.secretKey), .keyType(.aes), .bool(.token, false), .bool(.private, true), .bool(.sensitive, false),
            .bool(.extractable, true),
        ]
        let unwrapped = try session.unwrapKey(
            .aesKeyWrap, unwrappingKey: wrapping, wrapped: wrapped.span.bytes, template)
        #expect(try session.bytes(.value, of: unwrapped) == inner)
        var forged = wrapped
        forged[20] ^= 1
        let error = caught { () throws(CryptokiError) in
            _ = try session.unwrapKey(.aesKeyWrap, unwrappingKey: wrapping, wrapped: forged.span.bytes, template)
        }
        guard case .failed(.unwrapKey, _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        let short = caught { () throws(CryptokiError) in
            _ = try filled(39) { (output) throws(CryptokiError) in
                try session.wrapKey(.aesKeyWrap, wrappingKey: wrapping, key: key, into: output)
            }
        }
        #expect(short == .failed(.wrapKey, .bufferTooSmall))
    }

    @Test func keysThatAreNotExtractableStay() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        let wrapping = try session.generateKey(
            .aesKeyGeneration, Templates.aes().filter { $0.type != .wrap } + [.bool(.wrap, true)])
        let key = try session.generateKey(.aesKeyGeneration, Templates.aes())
        let error = caught { () throws(CryptokiError) in
            _ = try filled(64) { (output) throws(CryptokiError) in
                try session.wrapKey(.aesKeyWrap, wrappingKey: wrapping, key: key, into: output)
            }
        }
        #expect(error == .failed(.wrapKey, .keyUnextractable))
    }
}

@Suite struct RandomTests {
    @Test(arguments: [1, 32, 65_536, 65_537, 200_000])
    func fillsTheWholeBuffer(count: Int) throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        let bytes = try filled(count) { (output) throws(CryptokiError) in
            try session.random(into: output)
            return output.count
        }
        // A run of 16 zero bytes where the buffer was not written; by chance once in 2^111 for the largest.
        if count >= 16 { #expect(bytes.suffix(16).contains { $0 != 0 }) }
        let again = try filled(count) { (output) throws(CryptokiError) in
            try session.random(into: output)
            return output.count
        }
        if count >= 16 { #expect(bytes != again) }
    }

    @Test func anEmptyBufferIsNoCall() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        try session.random(into: UnsafeMutableRawBufferPointer(start: nil, count: 0))
    }
}
