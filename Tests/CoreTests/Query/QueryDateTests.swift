import Glibc
import Testing

@testable import ClavigerCore

@Suite struct QueryDateTests {
    @Test(
        arguments: [
            ("1970-01-01", 0), ("1970-01-02T00:00:00Z", 86_400_000), ("2026-11-25T09:15:30Z", 1_795_598_130_000),
            ("2026-11-25t09:15:30z", 1_795_598_130_000), ("2026-11-25T09:15:30", 1_795_598_130_000),
            ("2026-11-25T10:15:30+01:00", 1_795_598_130_000), ("2026-11-24T23:45:30-09:30", 1_795_598_130_000),
            ("2026-11-25T09:15:30.5Z", 1_795_598_130_500), ("2026-11-25T09:15:30.007999999Z", 1_795_598_130_007),
            ("2000-02-29", 951_782_400_000), ("2024-02-29T23:59:59.999Z", 1_709_251_199_999),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
        ] as [(String, UInt64)])
    func readsMoments(text: String, moment: UInt64) {
        #expect(QueryDate.parse(text) == moment)
    }

    @Test(arguments: [
        "", "2026", "2026-11", "2026-1-1", "26-11-25", "2026-13-01", "2026-00-01", "2026-11-00", "2026-11-31", "2100-02-29",
        "2023-02-29", "2026-11-25T", "2026-11-25T09", "2026-11-25T09:15", "2026-11-25T24:00:00Z", "2026-11-25T09:60:00Z",
        "2026-12-31T23:59:60Z", "2026-11-25 09:15:30Z", "2026-11-25T09:15:30.Z", "2026-11-25T09:15:30+0100",
        "2026-11-25T09:15:30+24:00", "2026-11-25T09:15:30ZZ", " 2026-11-25", "2026-11-25 ", "1969-12-31", "0000-01-01",
        "1970-01-01T00:00:00+00:01", "+2026-11-25", "２026-11-25", "2026-11-25T09:15:30.0000000000000000000Z",
    ])
    func refusesWhatIsNoMoment(text: String) {
        #expect(QueryDate.parse(text) == nil)
    }

    /// The C library counts days too.
    @Test(arguments: 0..<10) func agreesWithTheCLibrary(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<500 {
            var seconds = time_t.random(in: 0...253_402_300_799, using: &random)
            let moment = UInt64(seconds) * 1_000
            var parts = tm()
            gmtime_r(&seconds, &parts)
            #expect(QueryDate.parse(DateText(moment).description) == moment)
            // What gmtime says is what DateText writes.
            #expect(DateText(moment).description.hasPrefix("\(parts.tm_year + 1_900)"))
        }
    }
}
