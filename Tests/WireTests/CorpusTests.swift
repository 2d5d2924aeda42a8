import ClavigerWire
import Testing

/// The corpus: frames that a hostile or broken client may send, each with the one answer that it gets. System tests send the same
/// files to a living daemon; an input that ever crashed anything is added here and stays.
@Suite struct CorpusTests {
    static let frames = Result { try Checkout.vectors("frames", in: Checkout.corpus) }

    /// What a daemon answers, as far as form alone decides it; nil for a reply.
    private func answer(_ frame: [UInt8]) -> RefusalCode? {
        do throws(Refusal) {
            let header = try FrameHeader(frame.span.bytes)
            guard header.kind == .request else { throw Refusal(.invalidKind) }
            guard let opcode = Opcode(rawValue: header.opcode) else { throw Refusal(.unknownOpcode) }
            return code(messageType(opcode, .request), Array(frame[Limits.headerLength..<header.frameLength]))
        } catch { return error.code }
    }

    @Test(arguments: try frames.get())
    func frameGetsItsAnswer(_ vector: Vector) throws {
        let answer = answer(vector.frame)
        #expect(vector["expect"] == "\(answer?.rawValue ?? 0) \(answer?.name ?? "reply")")
        // Only a broken header ends the connection.
        let ends: Set<RefusalCode> = [.malformedFrame, .unsupportedVersion, .invalidKind, .frameLength]
        #expect(vector["connection"] == (answer.map(ends.contains) == true ? "closes" : "lives"))
        #expect(vector["name"] == vector.file)
    }

    /// Every refusal that form alone can bring about stands in the corpus.
    @Test func corpusHasEveryRefusalOfForm() throws {
        let expected = try Set(Self.frames.get().map { $0["expect"] })
        // No header is malformed without one of the other three; ids in flight are the server's to know; a batch over 256 KiB is
        // no file to keep, and stands in LimitTests.
        let elsewhere: Set<RefusalCode> = [.malformedFrame, .duplicateRequestID, .batchSize]
        for code in RefusalCode.allCases where code.rawValue < 32 && !elsewhere.contains(code) {
            #expect(expected.contains("\(code.rawValue) \(code.name)"))
        }
    }
}
