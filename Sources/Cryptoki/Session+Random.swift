internal import CCryptoki

extension Session {
    /// The most that one C_GenerateRandom is asked for: some modules refuse a request of a megabyte.
    private static var randomBatch: Int { 65_536 }

    /// Fills `output` with random bytes of the token: C_GenerateRandom (PKCS#11 v2.40 section 5.15).
    ///
    /// On an error `output` holds nothing of use. An empty buffer asks the token for nothing.
    public mutating func random(into output: UnsafeMutableRawBufferPointer) throws(CryptokiError) {
        var offset = 0
        while offset < output.count {
            let count = min(Session.randomBatch, output.count - offset)
            let result = cryptoki_generate_random(
                functions.pointer, handle, output.baseAddress.map { $0 + offset }, UInt(count))
            try CryptokiError.check(result, .generateRandom)
            offset += count
        }
    }
}
