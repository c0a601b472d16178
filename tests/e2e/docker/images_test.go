package docker_test

// imageScripts are those about images. $R is a registry of this machine.
func imageScripts() []script {
	return []script{
		{"image lists", false, lines(`
@docker tag busybox example/app:1 && docker tag busybox example/app:2 && docker tag busybox example/other:latest
@printf 'FROM busybox\nLABEL kind=test level=2\nRUN echo a > /a\nCMD ["echo","hello"]\n' > w/Dockerfile && docker build -q -t example/built w
docker images --no-trunc --format '{{.Repository}} {{.Tag}}' example/app
docker images -a -q --no-trunc example/app
docker images --digests example/app
docker images --digests --format '{{.Repository}} {{.Digest}}' example/app
docker images --format 'table {{.Repository}}\t{{.Tag}}' example/app
docker images --format json example/other | grep -o '"Repository":"[^"]*"'
docker images --format '{{json .}}' example/other | grep -o '"Tag":"[^"]*"'
docker images --format '{{.ID}} {{.CreatedSince}} {{.CreatedAt}}' example/other
docker images --format '{{upper .Repository}} {{len .Tag}}' example/app
docker images --format '{{.Nope}}'
docker images --format '{{'
docker images 'example/*' | sort
docker images 'example/*:2'
docker images 'exa*'
docker images example/app:1
docker images example/app:9
docker images --filter reference='example/a*:1' --format '{{.Tag}}'
docker images --filter reference='*/*:latest' --format '{{.Repository}}'
docker images --filter reference=example/app --filter reference=example/other --format '{{.Repository}}:{{.Tag}}'
docker images --filter label=kind --format '{{.Repository}}'
docker images --filter label=kind=test --format '{{.Repository}}'
docker images --filter label=kind=other --format '{{.Repository}}'
docker images --filter label=kind --filter label=level=2 --format '{{.Repository}}'
docker images --filter dangling=true -q
docker images --filter dangling=false --format '{{.Repository}}' example/app
docker images --filter dangling=perhaps
docker images --filter before=example/built --format '{{.Repository}}:{{.Tag}}' 'example/*' | sort
docker images --filter since=example/app:1 --format '{{.Repository}}:{{.Tag}}' 'example/*' | sort
docker images --filter before=nosuch
docker images --filter since=nosuch
docker images a b
docker images --nosuch
docker image ls --format '{{.Repository}}' example/app
docker image list --format '{{.Repository}}' example/app
docker image nosuch
docker history --format '{{.CreatedBy}} {{.Size}}' example/built
docker history --no-trunc --format '{{.CreatedBy}}' example/built
docker history --format '{{.Comment}}' example/built
docker history -q example/built | head -1
docker history -H=false --format '{{.Size}}' example/built
docker history --format '{{.CreatedSince}}' example/built
docker history
docker image history nosuch
docker image inspect example/app:1 -f '{{len .RepoTags}} {{.Os}} {{.Architecture}}'
docker image inspect example/built -f '{{.Config.Labels}} {{json .Config.Cmd}} {{len .RootFS.Layers}}'
docker image inspect example/app:1 example/app:2 -f '{{.Id}}'
docker image inspect example/app:1 nosuch -f '{{.Os}}'
docker image inspect -f '{{.Nope}}' example/app:1
docker image inspect -f '{{' example/app:1
docker image inspect
docker inspect --type image -f '{{.RepoTags}}' example/other
docker inspect -s -f '{{.Os}}' example/other
docker system df --format '{{.Type}} {{.TotalCount}}' | grep -v Build
docker system df --nosuch
docker system df -v --format '{{range .Images}}{{.Repository}} {{end}}' | tr ' ' '\n' | sort -u | grep -c .
`)},
		{"image removal", true, lines(`
@docker tag busybox example/app:1 && docker tag busybox example/app:2 && docker tag busybox example/other:latest
docker rmi example/app:1 example/app:2
docker rmi example/app:1 example/other
@printf 'FROM busybox\nRUN echo a > /a\nRUN echo b > /b\n' > w/Dockerfile && docker build -q -t example/built w && docker tag example/built example/again
docker rmi $(docker images -q example/built)
docker rmi $(docker images -q example/built | cut -c1-7)
@docker create --name user --network none example/again
docker rmi example/built
docker rmi example/again
docker rmi $(docker images -q example/again)
docker rmi --no-prune example/nosuch
docker rmi -f example/again | grep -c Untagged
docker images -q example/again
docker inspect -f '{{.Config.Image}}' user
docker rm user
docker image prune -f | grep -o 'Total reclaimed.*[^0-9.]B'
docker image prune -f
docker image prune -f --filter until=1h
docker image prune -f --filter label=nosuch
docker image prune -f --filter 'label!=nosuch'
docker image prune -f --filter until=nosuch
docker image prune --filter dangling=perhaps -f
echo n | docker image prune
docker image prune x
@docker run -d --name up --network none busybox sleep 100
docker rmi -f $(docker images -q busybox)
@docker rm -f up
docker image rm nosuch nosuch2
docker image remove nosuch
docker rmi -f nosuch nosuch2
docker rmi 'Bad/Name'
docker rmi @
docker rmi sha256:0000000000000000000000000000000000000000000000000000000000000000
docker rmi 000000000000
`)},
		{"archives", true, lines(`
@docker tag busybox example/app:1 && docker tag busybox example/app:2
docker save -o w/one.tar example/app:1
tar -xOf w/one.tar manifest.json | grep -o '"RepoTags":[^]]*]'
docker save example/app > w/both.tar; tar -xOf w/both.tar manifest.json | grep -o '"RepoTags":[^]]*]'
docker save -o w/id.tar $(docker images -q example/app:1); tar -xOf w/id.tar manifest.json | grep -o '"RepoTags":[^,]*,'
docker save nosuch
docker save -o w/none.tar nosuch; ls w/none.tar
docker save -o w/no/such.tar busybox
docker save
docker rmi example/app:1 example/app:2
docker load -i w/both.tar
docker load -q -i w/both.tar
docker load < w/one.tar
gzip -k w/one.tar && docker load -i w/one.tar.gz
bzip2 -k w/one.tar && docker load -i w/one.tar.bz2
xz -k w/one.tar && docker load -i w/one.tar.xz
docker load -i w/id.tar
docker load -i w/nosuch.tar
docker load x
@echo nothing > w/f && tar -cf w/odd.tar -C w f
@docker create --name it --network none busybox sh -c 'echo started' && docker start -a it
docker export it | tar -t | grep -c bin/busybox
docker export -o w/fs.tar it
docker export nosuch
docker export -o w/no/such.tar it
docker export
docker import w/fs.tar example/imported:1 | cut -c1-7
docker import -c 'CMD ["echo","imported"]' -c 'ENV A=b' -m 'a message' w/fs.tar example/imported:2 | cut -c1-7
docker image inspect -f '{{json .Config.Cmd}} {{json .Config.Env}} {{.Comment}} {{.Os}}' example/imported:2
docker history --format '{{.Comment}}|{{.CreatedBy}}' example/imported:2
docker run --rm --network none example/imported:2
docker import - example/imported:3 < w/fs.tar | cut -c1-7
cat w/fs.tar | gzip | docker import - | cut -c1-7
docker import -c 'NOSUCH x' w/fs.tar
docker import -c 'RUN x' w/fs.tar
docker import w/fs.tar 'Bad/Name'
docker import http://127.0.0.1:1/x.tar
docker import
docker commit -a me -m 'a message' -c 'CMD ["echo","committed"]' -c 'LABEL a=b' it example/committed:1 | cut -c1-7
docker image inspect -f '{{.Author}} {{.Comment}} {{json .Config.Cmd}} {{.Config.Labels}}' example/committed:1
docker run --rm --network none example/committed:1
docker commit it | cut -c1-7
docker commit -c 'NOSUCH x' it
docker commit it 'Bad/Name'
docker commit nosuch
docker commit
@docker rm it && docker create --name it --network none busybox sh -c 'echo a >> /etc/passwd; rm /bin/busybox; mkdir -p /new/dir; echo b > /new/dir/f; rm -rf /home' && docker start -a it
docker diff it | sort
docker diff nosuch
docker diff
docker rm it
`)},
		{"registries", true, lines(`
@docker tag busybox $R/example/app:1 && docker tag busybox $R/example/app:2
docker push nosuch/example
docker push $R/example/nosuch
docker push $R/example/app:9
docker push $R/example/app:1 | grep -v digest
docker push $R/example/app:1 | grep -v digest
docker push -q $R/example/app:1
docker push -a $R/example/app | grep -c digest
docker push -a $R/example/app:1
docker push
docker rmi $R/example/app:1 $R/example/app:2 | grep Untagged | grep -v @
docker pull $R/example/app:1 | grep -v 'Digest\|: '
docker pull $R/example/app:1 | grep -v Digest
docker pull -q $R/example/app:2
docker pull -a $R/example/app | grep -v 'Digest' | sort
docker pull -a $R/example/app:1
docker pull $R/example/nosuch
docker pull $R/example/app:nosuch
docker pull $R/example/app@sha256:0000000000000000000000000000000000000000000000000000000000000000
docker pull $R/Bad/Name
docker pull 127.0.0.1:1/example/app
docker pull --platform linux/s390x $R/example/nosuch
docker pull
docker pull a b
docker run --rm --network none $R/example/nosuch true
docker run --rm --network none --pull never $R/example/nosuch true
docker run --rm --network none --pull nosuch busybox true
docker run --rm --network none --pull always -q $R/example/app:1 echo pulled
docker images --format '{{.Repository}}:{{.Tag}}' $R/example/app
docker login -u x -p y 127.0.0.1:1
docker login -u x --password-stdin </dev/null
docker login --password-stdin $R </dev/null
docker login -u x </dev/null
docker login a b
docker logout $R
docker logout a b
docker tag
docker tag busybox
docker tag busybox example/x@sha256:0000000000000000000000000000000000000000000000000000000000000000
docker tag busybox 'a b'
docker tag 'Bad/Name' x
docker search
docker search --limit 1000 x
docker search --filter nosuch=1 x
docker manifest inspect $R/example/nosuch
docker manifest inspect
docker manifest create --insecure $R/example/list $R/example/app:1 $R/example/app:2
docker manifest annotate $R/example/list $R/example/app:2 --arch arm64 --variant v8
docker manifest inspect $R/example/list | grep -c digest
docker manifest create --insecure $R/example/list $R/example/app:1
docker manifest push --insecure -p $R/example/list | tail -1 | cut -c1-7
docker manifest rm $R/example/list
docker manifest rm nosuch
docker manifest annotate $R/example/list nosuch
`)},
	}
}
