#pragma once
// libp11-kit: the ecosystem's PKCS#11 headers, module loading and PKCS#11 URIs (RFC 7512).
#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>
