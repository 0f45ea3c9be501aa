// Package seal makes tampering with stored records evident.
//
// The records of one incarnation of a partition's log (topic, partition, epoch)
// are the leaves of a Merkle tree as in RFC 6962: leaf i is the record at offset
// base+i, hashed over its exact bytes. The tree is therefore the same whoever
// computes it from Kafka.
//
// The worker appends each record to an Edge, which is all that growing needs and
// which travels with the offset in Kafka: a crash neither loses nor forks a tree.
package seal
