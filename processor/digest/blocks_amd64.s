#include "textflag.h"

// The round constants of SHA-256.
DATA rounds<>+0(SB)/8, $0x71374491428a2f98
DATA rounds<>+8(SB)/8, $0xe9b5dba5b5c0fbcf
DATA rounds<>+16(SB)/8, $0x59f111f13956c25b
DATA rounds<>+24(SB)/8, $0xab1c5ed5923f82a4
DATA rounds<>+32(SB)/8, $0x12835b01d807aa98
DATA rounds<>+40(SB)/8, $0x550c7dc3243185be
DATA rounds<>+48(SB)/8, $0x80deb1fe72be5d74
DATA rounds<>+56(SB)/8, $0xc19bf1749bdc06a7
DATA rounds<>+64(SB)/8, $0xefbe4786e49b69c1
DATA rounds<>+72(SB)/8, $0x240ca1cc0fc19dc6
DATA rounds<>+80(SB)/8, $0x4a7484aa2de92c6f
DATA rounds<>+88(SB)/8, $0x76f988da5cb0a9dc
DATA rounds<>+96(SB)/8, $0xa831c66d983e5152
DATA rounds<>+104(SB)/8, $0xbf597fc7b00327c8
DATA rounds<>+112(SB)/8, $0xd5a79147c6e00bf3
DATA rounds<>+120(SB)/8, $0x1429296706ca6351
DATA rounds<>+128(SB)/8, $0x2e1b213827b70a85
DATA rounds<>+136(SB)/8, $0x53380d134d2c6dfc
DATA rounds<>+144(SB)/8, $0x766a0abb650a7354
DATA rounds<>+152(SB)/8, $0x92722c8581c2c92e
DATA rounds<>+160(SB)/8, $0xa81a664ba2bfe8a1
DATA rounds<>+168(SB)/8, $0xc76c51a3c24b8b70
DATA rounds<>+176(SB)/8, $0xd6990624d192e819
DATA rounds<>+184(SB)/8, $0x106aa070f40e3585
DATA rounds<>+192(SB)/8, $0x1e376c0819a4c116
DATA rounds<>+200(SB)/8, $0x34b0bcb52748774c
DATA rounds<>+208(SB)/8, $0x4ed8aa4a391c0cb3
DATA rounds<>+216(SB)/8, $0x682e6ff35b9cca4f
DATA rounds<>+224(SB)/8, $0x78a5636f748f82ee
DATA rounds<>+232(SB)/8, $0x8cc7020884c87814
DATA rounds<>+240(SB)/8, $0xa4506ceb90befffa
DATA rounds<>+248(SB)/8, $0xc67178f2bef9a3f7
GLOBL rounds<>(SB), RODATA, $256

// Turns four big-endian words.
DATA turn<>+0(SB)/8, $0x0405060700010203
DATA turn<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL turn<>(SB), RODATA, $16

// A lane has its state in two registers, as the instructions want it (a b e f and
// c d g h), and the last sixteen words of the message in four.

#define LOAD(p, off, m) \
	MOVOU off(p), m \
	PSHUFB X15, m

// ROUNDS does four rounds with the words m, the g-th four of the message.
#define ROUNDS(g, m, abef, cdgh) \
	MOVOU (g*16)(AX), X0 \
	PADDD m, X0 \
	SHA256RNDS2 X0, abef, cdgh \
	PSHUFD $0x0E, X0, X0 \
	SHA256RNDS2 X0, cdgh, abef

// WORDS replaces the words m0, sixteen before, by the next four; m1 to m3 follow m0.
#define WORDS(m0, m1, m2, m3, t) \
	SHA256MSG1 m1, m0 \
	MOVO m3, t \
	PALIGNR $4, m2, t \
	PADDD t, m0 \
	SHA256MSG2 m3, m0

#define BOTH_LOAD(g, a, b) \
	LOAD(SI, g*16, a) \
	LOAD(DI, g*16, b) \
	ROUNDS(g, a, X1, X2) \
	ROUNDS(g, b, X7, X8)

#define BOTH(g, a0, a1, a2, a3, b0, b1, b2, b3) \
	WORDS(a0, a1, a2, a3, X13) \
	WORDS(b0, b1, b2, b3, X14) \
	ROUNDS(g, a0, X1, X2) \
	ROUNDS(g, b0, X7, X8)

// ARRANGE turns a state of eight words into the two registers; RESTORE back.
#define ARRANGE(abef, cdgh, t) \
	PSHUFD $0xB1, abef, abef \
	PSHUFD $0x1B, cdgh, cdgh \
	MOVO abef, t \
	PALIGNR $8, cdgh, abef \
	PBLENDW $0xF0, t, cdgh

#define RESTORE(abef, cdgh, t) \
	PSHUFD $0x1B, abef, abef \
	PSHUFD $0xB1, cdgh, cdgh \
	MOVO abef, t \
	PBLENDW $0xF0, cdgh, abef \
	PALIGNR $8, t, cdgh

// func blocks(a, b *state, p, q *byte, n int)
TEXT ·blocks(SB), NOSPLIT, $64-40
	MOVQ n+32(FP), CX
	TESTQ CX, CX
	JLE  done
	MOVQ a+0(FP), R8
	MOVQ b+8(FP), R9
	MOVQ p+16(FP), SI
	MOVQ q+24(FP), DI
	LEAQ rounds<>(SB), AX
	MOVOU turn<>(SB), X15
	MOVOU 0(R8), X1
	MOVOU 16(R8), X2
	MOVOU 0(R9), X7
	MOVOU 16(R9), X8
	ARRANGE(X1, X2, X13)
	ARRANGE(X7, X8, X14)

loop:
	MOVOU X1, 0(SP)
	MOVOU X2, 16(SP)
	MOVOU X7, 32(SP)
	MOVOU X8, 48(SP)
	BOTH_LOAD(0, X3, X9)
	BOTH_LOAD(1, X4, X10)
	BOTH_LOAD(2, X5, X11)
	BOTH_LOAD(3, X6, X12)
	BOTH(4, X3, X4, X5, X6, X9, X10, X11, X12)
	BOTH(5, X4, X5, X6, X3, X10, X11, X12, X9)
	BOTH(6, X5, X6, X3, X4, X11, X12, X9, X10)
	BOTH(7, X6, X3, X4, X5, X12, X9, X10, X11)
	BOTH(8, X3, X4, X5, X6, X9, X10, X11, X12)
	BOTH(9, X4, X5, X6, X3, X10, X11, X12, X9)
	BOTH(10, X5, X6, X3, X4, X11, X12, X9, X10)
	BOTH(11, X6, X3, X4, X5, X12, X9, X10, X11)
	BOTH(12, X3, X4, X5, X6, X9, X10, X11, X12)
	BOTH(13, X4, X5, X6, X3, X10, X11, X12, X9)
	BOTH(14, X5, X6, X3, X4, X11, X12, X9, X10)
	BOTH(15, X6, X3, X4, X5, X12, X9, X10, X11)
	MOVOU 0(SP), X3
	MOVOU 16(SP), X4
	MOVOU 32(SP), X9
	MOVOU 48(SP), X10
	PADDD X3, X1
	PADDD X4, X2
	PADDD X9, X7
	PADDD X10, X8
	ADDQ  $64, SI
	ADDQ  $64, DI
	DECQ  CX
	JNZ   loop

	RESTORE(X1, X2, X13)
	RESTORE(X7, X8, X14)
	MOVOU X1, 0(R8)
	MOVOU X2, 16(R8)
	MOVOU X7, 0(R9)
	MOVOU X8, 16(R9)

done:
	RET

// func cpuid(leaf uint32) (ebx, ecx uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-16
	MOVL leaf+0(FP), AX
	XORL CX, CX
	CPUID
	MOVL BX, ebx+8(FP)
	MOVL CX, ecx+12(FP)
	RET
