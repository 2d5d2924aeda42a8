// swift-tools-version: 6.2
import PackageDescription

/// Settings of every Swift target: Swift 6 mode, warnings are errors, and the language features that make imports,
/// existentials and borrowed views explicit.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
]

/// Settings of every C and C++ shim: warnings are errors there too. No unsafe flags: other packages could not depend on us then.
let strictC: [CSetting] = [.enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error)]
let strictCXX: [CXXSetting] = [.enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error)]

let package = Package(
    name: "claviger",
    products: [
        .executable(name: "clavigerd", targets: ["clavigerd"]),
        .executable(name: "claviger", targets: ["claviger"]),
        .library(name: "ClavigerClient", targets: ["ClavigerClient"]),
        .library(name: "claviger-fault", type: .dynamic, targets: ["ClavigerFault"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        // Shim modules: no policy, no state beyond the loaded module.
        .systemLibrary(name: "CP11Kit", pkgConfig: "p11-kit-1", providers: [.apt(["libp11-kit-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .target(name: "CCryptoki", dependencies: ["CP11Kit"], cSettings: strictC),
        .target(name: "CLinux", cSettings: strictC),
        // A PKCS#11 module that fails on cue, for rehearsals and tests; nothing links it.
        .target(
            name: "ClavigerFault", dependencies: ["CP11Kit"], cSettings: strictC,
            // It is C alone; the toolchain would have it need the Swift runtime all the same.
            linkerSettings: [.unsafeFlags(["-nostartfiles", "-static-stdlib", "-Xlinker", "--as-needed"])]),
        .target(name: "CToml", cxxSettings: strictCXX),

        .target(name: "SecureMemory", dependencies: ["CLinux", "COpenSSL"], swiftSettings: strict),
        .target(name: "Cryptoki", dependencies: ["CCryptoki", "SecureMemory"], swiftSettings: strict),
        .target(name: "ClavigerWire", dependencies: ["SecureMemory"], swiftSettings: strict),
        .target(
            name: "ClavigerImport", dependencies: ["ClavigerWire", "SecureMemory", "COpenSSL"], swiftSettings: strict),
        .target(
            name: "ClavigerCore",
            dependencies: [
                "Cryptoki", "ClavigerImport", "ClavigerWire", "SecureMemory", "CLinux", "CSQLite", "CToml", "COpenSSL",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .target(
            name: "ClavigerServer",
            dependencies: [
                "ClavigerCore", "ClavigerWire", "SecureMemory", "CLinux", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .target(name: "ClavigerClient", dependencies: ["ClavigerWire", "SecureMemory", "CLinux"], swiftSettings: strict),
        .target(
            name: "ClavigerAdmin",
            dependencies: [
                "ClavigerCore", "ClavigerWire", "Cryptoki", "SecureMemory", "CLinux",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "clavigerd",
            dependencies: [
                "ClavigerServer", "ClavigerCore", "ClavigerWire", "Cryptoki", "CLinux",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict, linkerSettings: [.unsafeFlags(["-Xlinker", "-z", "-Xlinker", "now"])]),
        .executableTarget(
            name: "claviger",
            dependencies: [
                "ClavigerAdmin", "ClavigerClient", "ClavigerCore", "ClavigerImport", "ClavigerWire", "SecureMemory", "CLinux",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict, linkerSettings: [.unsafeFlags(["-Xlinker", "-z", "-Xlinker", "now"])]),

        // Tests mirror Sources.
        .target(
            name: "Support", dependencies: ["Cryptoki", "ClavigerImport", "ClavigerWire", "SecureMemory", "CLinux"],
            path: "Tests/Support",
            exclude: ["boot-systemd", "TSanMutex.c", "CrashPoints.c"], swiftSettings: strict),
        .testTarget(name: "CryptokiTests", dependencies: ["Cryptoki", "Support", "COpenSSL"], swiftSettings: strict),
        .testTarget(name: "FaultTests", dependencies: ["Cryptoki", "Support"], swiftSettings: strict),
        .testTarget(name: "ConfigurationTests", dependencies: ["ClavigerCore", "Support"], swiftSettings: strict),
        .testTarget(
            name: "ImportTests", dependencies: ["ClavigerImport", "ClavigerWire", "SecureMemory", "COpenSSL", "Support"],
            swiftSettings: strict),
        .testTarget(name: "WireTests", dependencies: ["ClavigerWire", "Support"], swiftSettings: strict),
        .testTarget(
            name: "CoreTests",
            dependencies: [
                "ClavigerCore", "ClavigerAdmin", "ClavigerImport", "ClavigerWire", "Cryptoki", "SecureMemory", "CSQLite",
                "COpenSSL", "Support",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "ServerTests",
            dependencies: [
                "ClavigerServer", "ClavigerCore", "ClavigerWire", "CLinux", "Support",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "ClientTests",
            dependencies: ["ClavigerClient", "ClavigerWire", "SecureMemory", "CLinux", "Support", "claviger"],
            swiftSettings: strict),
        .testTarget(
            name: "SystemTests",
            dependencies: [
                "ClavigerClient", "ClavigerImport", "ClavigerCore", "ClavigerWire", "Cryptoki", "CCryptoki", "Support",
                "clavigerd", "claviger",
            ],
            exclude: ["Systemd", "protocol_client.py"], swiftSettings: strict),
    ],
    cxxLanguageStandard: .cxx17
)
