import Glibc
import Testing

@testable import ClavigerCore

@Suite struct LoginMarkerTests {
    static let source = PINSourceIdentity(name: "/etc/pin", inode: 7, modified: 9)
    static let other = PINSourceIdentity(name: "/etc/pin", inode: 8, modified: 9)

    /// The rule in words, apart from the code: the expected number of attempts, or nil for a refusal.
    static func expected(
        _ previous: LoginMarker?, same: Bool, byOperator: Bool, _ warnings: LoginMarker.TokenWarnings
    ) -> Int? {
        // The token's last word stands against everybody.
        if warnings.locked || warnings.finalTry { return nil }
        if byOperator { return 1 }
        guard let previous else { return 1 }
        let isUnclear = previous.result == .unjudged || previous.result == .unclear
        if previous.result == .pending && warnings.countLow { return nil }
        if isUnclear && same && warnings.countLow { return nil }
        // A source that the token has taken before is not to blame for what is unclear.
        if isUnclear && same && previous.accepted == source { return 1 }
        switch (previous.result, same) {
        case (.refused, true), (.locked, _): return nil
        case (.pending, true), (.unjudged, true), (.unclear, true): return previous.attempts < 2 ? previous.attempts + 1 : nil
        case (.refused, false), (.pending, false), (.accepted, _), (.unjudged, _), (.unclear, _): return 1
        }
    }

    @Test func theWholeDecisionTable() {
        var markers: [LoginMarker?] = [nil]
        for result in [LoginMarker.Result.pending, .accepted, .refused, .locked, .unjudged, .unclear] {
            for attempts in 0...3 {
                for accepted in [nil, LoginMarkerTests.source] {
                    markers.append(
                        LoginMarker(source: LoginMarkerTests.source, result: result, attempts: attempts, accepted: accepted))
                }
            }
        }
        var cases = 0
        for previous in markers {
            for same in [true, false] {
                for byOperator in [true, false] {
                    for bits in 0..<8 {
                        let warnings = LoginMarker.TokenWarnings(
                            countLow: bits & 1 != 0, finalTry: bits & 2 != 0, locked: bits & 4 != 0)
                        let source = same ? LoginMarkerTests.source : LoginMarkerTests.other
                        let decision = LoginMarker.next(
                            after: previous, source: source, byOperator: byOperator, warnings: warnings)
                        let expected = LoginMarkerTests.expected(previous, same: same, byOperator: byOperator, warnings)
                        switch (decision, expected) {
                        case (.attempt(let marker), let attempts?):
                            #expect(
                                marker
                                    == LoginMarker(
                                        source: source, result: .pending, attempts: attempts, accepted: previous?.accepted))
                        case (.refuse(let why), nil): #expect(!why.isEmpty)
                        case (.attempt, nil), (.refuse, _?):
                            Issue.record("\(decision) after \(String(describing: previous)), same \(same), \(warnings)")
                        }
                        cases += 1
                    }
                }
            }
        }
        #expect(cases == 49 * 2 * 2 * 8)
    }

    /// Goes through attempts one after another, as restarted daemons and operators make them.
    private func play(
        _ steps: [(PINSourceIdentity, LoginMarker.Result)], countLow: Bool = false, from first: LoginMarker? = nil
    ) -> (marker: LoginMarker?, refusedAt: Int?) {
        var marker = first
        for (number, step) in steps.enumerated() {
            let decision = LoginMarker.next(
                after: marker, source: step.0, byOperator: step.0 == .byOperator,
                warnings: .init(countLow: countLow, finalTry: false, locked: false))
            guard case .attempt(let fresh) = decision else { return (marker, number) }
            marker = fresh.judged(step.1)
        }
        return (marker, nil)
    }

    /// Whatever was tried in between, a source that was refused is not presented again as it is.
    @Test func aRefusedSourceStaysRefused() {
        let (file, corrected) = (LoginMarkerTests.source, LoginMarkerTests.other)
        let credential = PINSourceIdentity(name: "credential:pin")
        for between: [(PINSourceIdentity, LoginMarker.Result)] in [
            [(.byOperator, .refused)], [(.byOperator, .accepted)], [(.byOperator, .unclear)], [(corrected, .accepted)],
            [(credential, .refused)], [(.byOperator, .accepted), (.byOperator, .refused)],
        ] {
            let steps = [(file, LoginMarker.Result.refused)] + between + [(file, .accepted)]
            #expect(play(steps).refusedAt == steps.count - 1, "\(between)")
        }
        // Corrected it is another one.
        #expect(play([(file, .refused), (.byOperator, .refused), (corrected, .accepted)]).refusedAt == nil)
        // Unless the token has counted what somebody has got wrong.
        let counted = play([(file, .refused), (.byOperator, .refused), (corrected, .accepted)], countLow: true)
        #expect(counted.refusedAt == 2)
        // A source that was good and is refused has no credit left.
        let turned = play([(file, .accepted), (file, .refused), (.byOperator, .accepted)])
        #expect(turned.marker?.accepted == nil && turned.marker?.refused == [file])
    }

    /// What says nothing of the PIN is bounded for a source that was never good; what speaks of the device is not.
    @Test func unclearAnswersAreBounded() {
        let file = LoginMarkerTests.source
        let unclear = (file, LoginMarker.Result.unclear)
        #expect(play([unclear, unclear, unclear]).refusedAt == 2)
        #expect(play([unclear, (file, .unjudged), (file, .unjudged), unclear, unclear]).refusedAt == 4)
        #expect(play([unclear, (file, .pending), unclear]).refusedAt == 2)
        #expect(play(Array(repeating: (file, .unjudged), count: 50)).refusedAt == nil)
        #expect(play([(file, .accepted)] + Array(repeating: unclear, count: 50)).refusedAt == nil)
        #expect(play([unclear, unclear, (.byOperator, .accepted), unclear]).refusedAt == nil)
    }

    @Test func whatIsRememberedIsBoundedAndReadAsWritten() throws {
        let directory = try TemporaryDirectory()
        var marker = LoginMarker(source: LoginMarkerTests.source, result: .pending, attempts: 1)
        for inode in 0..<UInt64(LoginMarker.maximumRefused + 3) {
            marker.source = PINSourceIdentity(name: "/pins/one =2 ", inode: inode, modified: -5)
            marker = marker.judged(.refused)
        }
        #expect(marker.refused.map(\.inode) == Array(3..<UInt64(LoginMarker.maximumRefused + 3)))
        for accepted in [nil, PINSourceIdentity(name: "/pins/good", inode: 4, modified: 5)] {
            marker.accepted = accepted
            try marker.write(directory.path)
            #expect(try LoginMarker.read(directory.path) == marker)
        }
    }

    @Test(arguments: ["/etc/pin", "credential:pin", "unlock", "a=b=c", ""], [LoginMarker.Result.pending, .accepted, .refused])
    func aMarkerIsReadAsWritten(name: String, result: LoginMarker.Result) throws {
        let directory = try TemporaryDirectory()
        let marker = LoginMarker(
            source: PINSourceIdentity(name: name, inode: .max, modified: -1), result: result, attempts: 2)
        try marker.write(directory.path)
        #expect(try LoginMarker.read(directory.path) == marker)
        #expect(try #require(Files.status(LoginMarker.path(directory.path))).st_mode & 0o777 == 0o600)
    }

    @Test func onlyAMissingMarkerIsNone() throws {
        let directory = try TemporaryDirectory()
        #expect(try LoginMarker.read(directory.path) == nil)
        // A marker that is there and cannot be read must not pass for none: the PIN would be tried.
        #expect(mkdir(LoginMarker.path(directory.path), 0o700) == 0)
        #expect(throws: FileError.self) { try LoginMarker.read(directory.path) }
    }

    @Test func garbageIsNeverAMarker() throws {
        let directory = try TemporaryDirectory()
        let path = LoginMarker.path(directory.path)
        try LoginMarker(source: LoginMarkerTests.source, result: .accepted, attempts: 1).write(directory.path)
        let whole = try Files.read(path)
        for count in 0..<whole.count {
            try overwrite(path, Array(whole.prefix(count)))
            #expect(throws: FileError.self, "\(count) bytes of it") { try LoginMarker.read(directory.path) }
        }
        for text in [
            "x\n1\n2\n3\naccepted\n", "source=a\ninode=-1\nmodified=0\nattempts=0\nresult=accepted\n",
            "source=a\ninode=1\nmodified=0\nattempts=-1\nresult=accepted\n",
            "source=a\ninode=1\nmodified=0\nattempts=0\nresult=fine\n",
            "source=a\ninode=1\nmodified=0\nattempts=0\nresult=accepted\nmore=1\n",
            "source=a\ninode=1\nmodified=0\nattempts=0\nresult=accepted\nrefused=1\n",
            "source=a\ninode=1\nmodified=0\nattempts=0\nresult=accepted\nrefused=x 1 a\n",
            "source=a\ninode=1\nmodified=0\nattempts=0\nresult=accepted\nrefused=1 1 a\naccepted=1 1 a\n",
            "source=a\ninode=1\nmodified=0\nattempts=0\nresult=accepted\naccepted=1 1 a\naccepted=1 1 a\n",
            "inode=1\nsource=a\nmodified=0\nattempts=0\nresult=accepted\n",
        ] {
            try overwrite(path, Array(text.utf8))
            #expect(throws: FileError.self, "\(text)") { try LoginMarker.read(directory.path) }
        }
        var random = SeededGenerator(seed: 3)
        for _ in 0..<200 {
            try overwrite(path, random.bytes(Int.random(in: 0...80, using: &random)))
            #expect(throws: FileError.self) { try LoginMarker.read(directory.path) }
        }
    }

    @Test func aFileOtherwiseReplacedIsAnotherSource() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("pin")
        try overwrite(path, Array("1234".utf8))
        let before = try PINSourceIdentity(file: path)
        #expect(try PINSourceIdentity(file: path) == before)
        try Files.replace(path, with: Array("1234".utf8).span.bytes)
        #expect(try PINSourceIdentity(file: path) != before)
    }
}
