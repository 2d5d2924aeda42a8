import Foundation
import Testing

/// The page's proof: a client written from it alone, in another language, agrees with the golden vectors.
@Suite struct PythonTests {
    /// Runs python3; its exit status and what it printed.
    private static func python(_ arguments: [String]) -> (status: Int32, output: String)? {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        // -B: no compiled files are left beside the sources.
        process.arguments = ["python3", "-B"] + arguments
        process.standardOutput = pipe
        process.standardError = pipe
        do { try process.run() } catch { return nil }
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }

    /// A test that cannot run here is never silent: the line is collected by what runs all checks.
    private static func skip(_ name: String, _ reason: String) { print("SKIPPED: \(name): \(reason)") }

    private static let hasPython = python(["-c", ""])?.status == 0
    private static let hasCryptography = python(["-c", "import cryptography"])?.status == 0

    @Test func pythonClientAgreesWithTheVectors() throws {
        guard Self.hasPython else { return Self.skip("the Python client against the vectors", "python3 is not installed") }
        let run = try #require(Self.python([Checkout.vectors.appendingPathComponent("vectors.py").path]))
        #expect(run.status == 0, "\(run.output)")
        let count = try ["messages", "refusals", "events"].reduce(0) { try $0 + Checkout.vectors($1).count }
        #expect(run.output.contains("\(count) vectors, 0 failures"))
    }

    @Test func pythonComputesTheSameEnvelopes() throws {
        guard Self.hasCryptography else {
            return Self.skip("the envelope vectors computed anew", "python3 has no cryptography package")
        }
        let run = try #require(Self.python([Checkout.vectors.appendingPathComponent("make_envelopes.py").path]))
        #expect(run.status == 0, "\(run.output)")
        #expect(run.output.contains("\(try Checkout.vectors("envelopes").count) envelopes, 0 failures"))
    }

    /// The text form and the contexts, which the vectors of messages show in part only.
    @Test func pythonClientAgreesOnTextForms() throws {
        guard Self.hasPython else { return Self.skip("the Python client against text forms", "python3 is not installed") }
        let script = """
            import json, os, sys
            sys.path.insert(0, sys.argv[1])
            import protocol_client as client
            def headers(path):
                return dict(line.split(": ", 1) for line in open(path, encoding="utf-8").read().splitlines())
            wrong = 0
            for name in os.listdir(os.path.join(sys.argv[2], "texts")):
                case = headers(os.path.join(sys.argv[2], "texts", name))
                try:
                    got = client.from_text(json.loads(case["text"])).hex()
                except ValueError:
                    got = None
                if got != case.get("bytes"):
                    wrong += 1
                    print(name, got)
            for name in os.listdir(os.path.join(sys.argv[2], "contexts")):
                case = headers(os.path.join(sys.argv[2], "contexts", name))
                encoding = client.context(json.loads(case["strings"]))
                if encoding.hex() != case["encoding"] or client.read_context(encoding) != json.loads(case["strings"]):
                    wrong += 1
                    print(name, encoding.hex())
            sys.exit(1 if wrong else 0)
            """
        let client = Checkout.root.appendingPathComponent("Tests/SystemTests").path
        let run = try #require(Self.python(["-c", script, client, Checkout.vectors.path]))
        #expect(run.status == 0, "\(run.output)")
    }
}
